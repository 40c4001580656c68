"""`vbq measure`: VBQ of one study on disk, or of an archive; with a reader's regions or without."""

from pathlib import Path

import click

from commands.evidence_files import write_evidence
from commands.exits import DONE, FAILED, print_json
from gateways.dicom.decoder import decoder_of
from gateways.dicom.study import StudyFiles, limits_of, open_study
from gateways.rois import read_regions
from gateways.rois.frames import slice_named
from gateways.settings import load_settings
from schemas.errors import NotMeasurable
from schemas.measurement import Measurement, Region
from vbq.imaging.draw import draw
from vbq.imaging.measure import measure as measure_study
from vbq.imaging.network import load_network

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
OUT = click.Path(dir_okay=False, path_type=Path)
DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(epilog="Exit status: 0 measured or needs regions, 1 not measurable or refused, 2 wrong usage.")
@click.argument("study", type=click.Path(exists=True, path_type=Path), required=False)
@click.option(
    "--rois", type=FILE, help="A reader's regions: our JSON, DICOM SR, GSPS, SEG, RTSTRUCT, ImageJ .roi or .zip."
)
@click.option(
    "--slice",
    "slice_",
    metavar="UID|N",
    help="The slice of regions that name none (ImageJ): its SOP Instance UID, or its number by position, from 0.",
)
@click.option("--study-uid", help="Which study, where STUDY holds several.")
@click.option("--png", type=OUT, help="Write the slice with its regions drawn.")
@click.option("--sr", type=OUT, help="Write a DICOM structured report (TID 1500) with regions and values.")
@click.option("--sc", type=OUT, help="Write the picture as a DICOM secondary capture.")
@click.option("--compare", is_flag=True, help="With --rois: measure automatically too and keep it beside the reader's.")
@click.option("--regions-only", is_flag=True, help="Find and number the levels on any sagittal MR contrast; no VBQ.")
@click.option("--batch", type=DIRECTORY, help="Instead of STUDY: measure every study below DIR, a folder each.")
@click.option(
    "--out", type=OUT, help="With --batch: the table to write (.parquet); a stopped run goes on where it was."
)
@click.option("--processes", type=click.IntRange(1, 64), default=2, show_default=True, help="With --batch.")
@click.option("--json", "as_json", is_flag=True, help="Print the measurement as one JSON document.")
def measure(
    *,
    study: Path | None,
    rois: Path | None,
    slice_: str | None,
    study_uid: str | None,
    png: Path | None,
    sr: Path | None,
    sc: Path | None,
    compare: bool,
    regions_only: bool,
    batch: Path | None,
    out: Path | None,
    processes: int,
    as_json: bool,
) -> int:
    """Measure the vertebral bone quality score (VBQ) of the DICOM files below STUDY.

    Chooses the sagittal T1 series without contrast agent and the slice nearest to the canal's midline. The regions are
    a reader's (--rois); without them they are found automatically, and the answer is a VBQ with its interval, one that
    a person must confirm, or why there is none. Research use only.
    """
    if batch is not None or out is not None:
        if batch is None or out is None or study is not None or rois is not None:
            raise click.UsageError("--batch DIR and --out FILE go together, without STUDY and --rois")
        if slice_ or study_uid or png or sr or sc or compare or regions_only or as_json:
            raise click.UsageError("--batch writes a table; of the other options it takes --out and --processes alone")
        if out.suffix.lower() != ".parquet":
            raise click.UsageError("--out is a Parquet table; name it .parquet")
        from commands.measure_batch import measure_batch

        return measure_batch(batch, out, processes)
    if study is None:
        raise click.UsageError("name the STUDY to measure, or an archive with --batch DIR --out FILE")
    if rois is not None and regions_only:
        raise click.UsageError("--regions-only finds the regions; leave out --rois")
    if slice_ is not None and rois is None:
        raise click.UsageError("--slice says where the regions of --rois lie; give both")
    if compare and rois is None:
        raise click.UsageError("--compare sets the automatic measurement beside a reader's; give --rois")
    settings = load_settings()
    decoder = click.get_current_context().with_resource(decoder_of(settings))
    decoder.start()
    network = load_network() if rois is None or compare else None  # while the decoder starts
    files = open_study(study, study_uid=study_uid, limits=limits_of(settings), reader=decoder)
    image = slice_named(files, slice_) if slice_ is not None else None
    regions = read_regions(rois, files, image=image) if rois else None
    if regions is not None and regions.unconfirmed and network is None:
        network = load_network()
    result = measure_study(
        files.study,
        files.load_pixels,
        regions,
        regions_source=rois.name if rois else None,
        network=network,
        levels_only=regions_only,
    )
    try:
        if as_json:
            print_json(result.model_dump(mode="json"))
        else:
            _say(result)
    finally:  # also where who reads the answer has enough of it (a pipe to `head`)
        if png:
            _write_picture(png, result, files)
        if sr or sc:
            write_evidence(result, files, sr, sc)
    return FAILED if result.status == "not_measurable" else DONE


def _write_picture(png: Path, result: Measurement, files: StudyFiles) -> None:
    if result.slice is None or result.series_uid is None:
        click.echo("vbq: no picture: no slice could be chosen", err=True)
        return
    try:
        image = files.load_slice(result.series_uid, result.slice.sop_instance_uid)
        png.write_bytes(draw(result, image))
    except NotMeasurable as error:
        click.echo(f"vbq: no picture: {error.detail}", err=True)
    except OSError as error:
        raise click.FileError(str(png), error.strerror or "cannot be written") from error


def _say(result: Measurement) -> None:
    """The measurement for a person."""
    if result.vbq is not None and result.interval is not None:
        low, high = result.interval
        click.echo(f"VBQ {result.vbq:.2f} (95 % interval {low:.2f} to {high:.2f}), {result.algorithm}")
        if result.slice_range is not None:
            click.echo(f"on the neighbouring slices {result.slice_range[0]:.2f} to {result.slice_range[1]:.2f}")
    else:
        click.echo(f"No VBQ: {result.status.replace('_', ' ')}, {result.algorithm}")
    suitable = sum(verdict.score > 0 for verdict in result.series)
    for chosen in (verdict for verdict in result.series if verdict.chosen):
        of = f", the best of {suitable} suitable ones" if suitable > 1 else ""
        why = "; ".join(reason.text for reason in chosen.reasons)
        click.echo(f"series {chosen.description or chosen.series_uid}{of}: {why}")
    if result.slice:
        click.echo(f"slice {result.slice.index} ({result.slice.sop_instance_uid})")
    for name, regions in (("", result.levels), ("CSF ", result.csf)):
        for level, region in regions.items():
            click.echo(f"  {name}{level:<3} {_region(region)}")
    if result.numbering is not None:
        click.echo(f"  levels counted with confidence {result.numbering.confidence:.2f}")
    for reason in result.reasons:
        click.echo(f"because {reason.text}")
    for flag in result.flags:
        click.echo(f"note: {flag.text}")
    if result.automatic is not None:
        value = f"VBQ {result.automatic.vbq:.2f}" if result.automatic.vbq is not None else "no VBQ"
        click.echo(f"automatic, for comparison: {result.automatic.status.replace('_', ' ')}, {value}")


def _region(region: Region) -> str:
    used = "" if region.used else f"  not used: {region.reason}"
    return f"mean {region.mean:8.1f}  SD {region.sd:7.1f}  {region.area_mm2:6.1f} mm2{used}"
