"""A few hundred broken inputs for each reader, the same each time; benchmarks/fuzz.py has as many as one likes."""

from benchmarks.fuzz import main


def test_broken_inputs_end_in_results_or_in_our_own_errors() -> None:
    tallies = {one.reader: one for one in main(60.0, seed=7, most=250)}
    assert {name: (one.inputs, one.crashed, dict(one.places)) for name, one in tallies.items()} == {
        name: (250, 0, {}) for name in ("dicom", "archive", "events", "facts")
    }
    assert all(len(one.outcomes) > 3 for name, one in tallies.items() if name != "archive")  # they are not all alike
    assert tallies["dicom"].outcomes["pixels"] > 5
    assert tallies["dicom"].peak_mib < 400
    assert tallies["dicom"].died <= 2  # hangs of a decoder in C++, which cost one file each
