"""The benchmark's rows, and the tables that are made of its record."""

import measuring
import pytest

from dan.results import speed

VALUES = {
    "rows": {"dan against a plain loop, pretraining": 3.75, "dan against a plain loop, adversarial": 3.41},
    "training": {
        "dan-published": {"epochs": 157, "minutes": 24.0, "time over dan-published": 1.0},
        "dan": {"epochs": 160, "minutes": 7.5, "time over dan-published": 0.3125},
    },
    "threads": {
        "dan, adversarial": {
            "one thread": {"idle": 66.2, "beside a loop": 63.0},
            "two threads": {"idle": 51.4, "beside a loop": 261.0},
        }
    },
    "growth": {
        "audio": {
            "batch 16": {
                "4,096 samples": {"ms": 100.4, "MB": 97.0},
                "65,536 samples": {"ms": 1734.0, "MB": 1243.0},
                "exponents": {"time": 1.02, "memory": 0.91},
            }
        }
    },
}


def test_a_row_is_printed_and_collected(monkeypatch, capsys):
    monkeypatch.setattr(measuring, "rows", {})
    measuring.row("200,000 signals, reading", 8.75, "s", "two of the files")
    assert measuring.rows == {"200,000 signals, reading": 8.75}
    assert " ".join(capsys.readouterr().out.split()) == "200,000 signals, reading 8.75 s two of the files"


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("recipe", "| an epoch with the discriminator, likewise | 3.4 × faster |"),
        ("recipe", "| the whole training, 160 epochs against 157 of `dan-published` | 0.31 of the time |"),
        ("threads", "| `dan`, adversarial | 66 | 51 | 63 | 261 |"),
        ("growth", "| `audio` | 16 | 100 ms, 97 MB | 1,734 ms, 1,243 MB | 1.0 | 0.9 |"),
    ],
)
def test_a_table_is_made_of_the_record(table, row):
    assert row in speed.TABLES[table](VALUES, {}).splitlines()
