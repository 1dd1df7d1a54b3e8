#!/usr/bin/env bash
# Lays out the spoken letters and syllables of Debian's package klettres-data (GPL): one voice for each of 20 languages.
#
#   scripts/letters.sh [FOLDER]      default: data/letters
#
# FOLDER/sounds/{train,test}/LANGUAGE/KIND-NAME.ogg: all recordings; those of a few languages are for testing.
# FOLDER/letters/{train,test}/LETTER/LANGUAGE.ogg:   letters A to Z of the languages that spell with them, the letter being the label.
# FOLDER/labels.csv:                                 of each recording its id within sounds/, part, language, kind and what is said.
#
# Needs apt-get and dpkg-deb, for the download, and python3.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-data/letters}
[ ! -e "$folder" ] || { echo "$folder is there already; remove it to lay it out again" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
(cd "$work" && apt-get download --quiet=2 klettres-data && dpkg-deb -x klettres-data_*.deb .)
python3 - "$work/usr/share/klettres" "$folder" <<'PYTHON'
import csv
import pathlib
import shutil
import string
import sys
import xml.etree.ElementTree as xml

source, folder = map(pathlib.Path, sys.argv[1:])
TEST = {"da", "en_GB", "it", "nl", "pt_BR"}


def copy(recording, to):
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(recording, to)


rows, seen = [], set()
for listing in sorted(source.glob("*/sounds.xml")):
    language = listing.parent.name
    part = "test" if language in TEST else "train"
    for sound in xml.parse(listing).getroot().iter("sound"):
        recording, said = source / sound.get("file"), sound.get("name").strip()
        # Some lists name recordings that are not in the package, or one twice.
        if not recording.is_file() or recording in seen:
            continue
        seen.add(recording)
        kind = {"alpha": "letter", "syllab": "syllable"}[recording.parent.name]
        name = f"{kind}-{recording.stem}.ogg"
        copy(recording, folder / "sounds" / part / language / name)
        rows.append([f"{language}/{name}", part, language, kind, said])
        if kind == "letter" and said.upper() in string.ascii_uppercase and len(said) == 1:
            copy(recording, folder / "letters" / part / said.upper() / f"{language}.ogg")
with open(folder / "labels.csv", "w", newline="", encoding="utf-8") as file:
    csv.writer(file, lineterminator="\n").writerows([["id", "part", "language", "kind", "said"], *rows])
PYTHON
echo "$folder: $(find "$folder/sounds" -name '*.ogg' | wc -l) recordings, $(find "$folder/letters" -name '*.ogg' | wc -l) of them letters A to Z"
