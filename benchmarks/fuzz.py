"""Broken inputs against what reads them: `./run python -m benchmarks.fuzz [--seconds 60] [--keep DIR]`.

dicom      headers and pixels by the decoder's process: pydicom's own test files, and small MR studies in each encoding
archive    DICOM JSON as an archive answers it
events     bodies as senders push them (each kind of event, each kind of Bundle)
facts      the resources of a record, read for the assessment

Every input must end in a result or in one of our own errors. `crashed` counts what ended in anything else, `died` the
deaths of the decoder's process: the first must be 0, the second is what the process is for. Same seed, same inputs;
how many of them depends on the machine.
"""

import argparse
import json
import random
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLosslessSV1

from gateways.dicom.decoder import Decoder
from gateways.dicom.headers import Instance
from gateways.dicom.limits import DicomLimits
from gateways.pacs.archive import rows_of
from gateways.pacs.dicomweb import instances_of
from schemas.errors import VbqError
from schemas.fhir.events import events_of
from schemas.fhir.facts import patient_facts
from schemas.fhir.parse import parse_json
from schemas.measurement import Reason
from tests.dicom_writer import StudyWriter
from tests.gateways.dicom.lossless_encoder import encode_lossless
from tests.mutations import broken_bytes, broken_json, pydicom_files
from tests.records import bundle, imaging_study, patient, t_score

LIMITS = DicomLimits()
SYNTAXES = ("1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90")
Try = Callable[[bytes], str]


@dataclass
class Tally:
    """What became of the inputs of one reader."""

    reader: str
    inputs: int = 0
    crashed: int = 0
    died: int = 0
    longest_ms: float = 0.0
    peak_mib: float = 0.0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    places: Counter[str] = field(default_factory=Counter)
    """Where inputs crashed."""

    def run(
        self,
        reader: Try,
        inputs: Iterator[bytes],
        *,
        seconds: float,
        most: int = sys.maxsize,
        keep: Path | None = None,
    ) -> None:
        """Feed inputs for so long, or so many; those that crashed or killed their reader are written below `keep`."""
        began = time.monotonic()
        while time.monotonic() - began < seconds and self.inputs < most:
            data, dead = next(inputs), self.died
            started, computed = time.perf_counter(), time.process_time()
            try:
                outcome = reader(data)
            except VbqError as error:
                outcome = error.reason_code
            except Exception as error:  # noqa: BLE001 - finding these is what this is for
                frame = traceback.extract_tb(error.__traceback__)[-1]
                self.crashed += 1
                self.places[f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"] += 1
                outcome = "crashed"
            # The decoder's own time is another process's; of the others it is processor time, whatever else runs.
            took = time.perf_counter() - started if self.reader == "dicom" else time.process_time() - computed
            self.longest_ms = max(self.longest_ms, 1000 * took)
            if keep is not None and (outcome == "crashed" or self.died > dead):
                (keep / f"{self.reader}-{self.inputs}").write_bytes(data)
            self.outcomes[outcome] += 1
            self.inputs += 1
        self.seconds = time.monotonic() - began


def mr_images(folder: Path) -> list[bytes]:
    """One image in each encoding that is read, small and complete, and one enhanced multi-frame header."""
    writer = StudyWriter(folder)
    made = [writer.dataset(4)]
    for syntax in SYNTAXES:
        dataset = writer.dataset(4)
        plugin = "pyjpegls" if syntax.endswith(".80") else "pylibjpeg"
        dataset.compress(syntax, encoding_plugin=plugin, generate_instance_uid=False)
        made.append(dataset)
    lossless = writer.dataset(4)
    lossless.PixelData = encapsulate([encode_lossless(lossless.pixel_array, predictor=1)])
    lossless["PixelData"].is_undefined_length = True
    lossless.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    found = []
    for dataset in [*made, lossless]:
        file = BytesIO()
        dataset.save_as(file, enforce_file_format=True)
        found.append(file.getvalue())
    return found


def mutants(
    seeds: list[bytes], mutate: Callable[[bytes, list[bytes], random.Random], bytes], seed: int
) -> Iterator[bytes]:
    """Broken seeds without end."""
    rng = random.Random(seed)
    while True:
        yield mutate(rng.choice(seeds), seeds, rng)


@contextmanager
def dicom_reader(tally: Tally) -> Iterator[Try]:
    """Writes an input to a file and has the decoder read its headers and its pixels."""
    with tempfile.TemporaryDirectory(prefix="vbq-fuzz-") as place, Decoder(file_seconds=10) as decoder:
        path = Path(place, "input.dcm")

        def read(data: bytes) -> str:
            path.write_bytes(data)
            found = decoder.headers([path], LIMITS)[0]
            if isinstance(found, list):
                images = [one for one in found if isinstance(one, Instance)][:20]
                loaded = decoder.slices(images, LIMITS)
                outcome = _outcome([*loaded]) if loaded else "no image"
            else:
                outcome = found.code
            tally.died = decoder.deaths
            if tally.inputs % 20 == 0:
                tally.peak_mib = max(tally.peak_mib, decoder.peak_mib())
            return outcome

        yield read


def _outcome(loaded: list[Any]) -> str:
    reasons = Counter(one.code for one in loaded if isinstance(one, Reason))
    return reasons.most_common(1)[0][0] if reasons else "pixels"


def json_seeds(place: Path) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """(bodies of events, resources of a record, answers of an archive)."""
    condition = {
        "resourceType": "Condition",
        "id": "c1",
        "subject": {"reference": "Patient/p1"},
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "64859006"}]},
        "onsetDateTime": "2019-05",
    }
    resources = [patient(), imaging_study(address="file:///nowhere", study_uid="2.25.9"), t_score(), condition]
    bundles = [{**bundle(*resources), "type": kind} for kind in ("collection", "batch", "message", "history")]
    samples = Path(__file__).parents[2] / "shared" / "fhir" / "samples"  # what real senders sent, where it is there
    real = (
        [path.read_bytes() for path in sorted(samples.glob("*.json")) if path.stat().st_size]
        if samples.is_dir()
        else []
    )
    writer = StudyWriter(place)
    rows = [writer.dataset(index) for index in range(3)]
    for row in rows:
        del row.PixelData
    answers = [json.dumps([row.to_json_dict() for row in rows]).encode()]
    bodies = [json.dumps(one).encode() for one in (*resources, *bundles)] + real
    return bodies, [json.dumps(one).encode() for one in resources], answers


def read_events(data: bytes) -> str:
    """As the intake does."""
    found = events_of(data, source="fuzz", base="https://ehr.example/fhir", several=False)
    return "events" if found.events else "no event"


def read_facts(data: bytes) -> str:
    """As the worker does before it assesses."""
    patient_facts([parse_json(data)])
    return "facts"


def read_archive(data: bytes) -> str:
    """As the fetching of a study does."""
    return "instances" if instances_of(rows_of(data)) else "no instance"


def main(seconds: float, seed: int, most: int = sys.maxsize, keep: Path | None = None) -> list[Tally]:
    """Run each reader for `seconds`, or for `most` inputs."""
    tallies = [Tally(name) for name in ("dicom", "archive", "events", "facts")]
    with tempfile.TemporaryDirectory(prefix="vbq-fuzz-") as folder:
        place = Path(folder)
        bodies, resources, answers = json_seeds(place)
        own = mr_images(place)
        files = mutants(own * 8 + pydicom_files(), broken_bytes, seed)
        with dicom_reader(tallies[0]) as read_dicom:
            tallies[0].run(read_dicom, files, seconds=seconds, most=most, keep=keep)
        for tally, reader, seeds in (
            (tallies[1], read_archive, answers),
            (tallies[2], read_events, bodies),
            (tallies[3], read_facts, resources),
        ):
            tally.run(reader, mutants(seeds, broken_json, seed), seconds=seconds, most=most, keep=keep)
            tally.peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return tallies


def show(tallies: list[Tally]) -> None:
    """A table for people, and where things crashed."""
    print("| reader | inputs | crashed | decoder died | longest, ms | peak, MiB | outcomes |")
    print("|---|---|---|---|---|---|---|")
    for one in tallies:
        outcomes = ", ".join(f"{name} {count}" for name, count in one.outcomes.most_common(6))
        print(
            f"| {one.reader} | {one.inputs:,} | {one.crashed} | {one.died} | {one.longest_ms:.0f} | {one.peak_mib:.0f} "
            f"| {outcomes} |"
        )
    for one in tallies:
        for name, count in one.places.most_common():
            print(f"{one.reader}: {count} x {name}", file=sys.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="for each reader")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a directory for the inputs that crashed")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = main(given.seconds, given.seed, keep=given.keep)
    if given.json:
        print(json.dumps([asdict(one) for one in found], indent=2))
    else:
        show(found)
    sys.exit(1 if any(one.crashed for one in found) else 0)
