"""Files as programs use them, open over sleeps: directories, renames, deleted and temporary files, archives."""

import hashlib
import io
import json
import os
import shutil
import time
import zipfile

ROOT = "/work"


def nap():
    time.sleep(0.004)


def tree(root):
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(files):
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                digest = hashlib.sha256(file.read()).hexdigest()[:12]
            yield os.path.relpath(path, root), os.stat(path).st_size, digest


def tries(what, call, *arguments):
    try:
        print(what, "ok", call(*arguments))
    except OSError as error:
        print(what, type(error).__name__, os.strerror(error.errno))


os.makedirs(f"{ROOT}/a/b/c")
for number in range(12):
    with open(f"{ROOT}/a/b/file{number}", "w") as file:
        file.write(f"line {number}\n" * (number + 1))
        if number == 7:
            nap()
        file.write("end\n")
print(json.dumps(sorted(os.listdir(f"{ROOT}/a/b"))))

# Open while it is renamed, appended to by another descriptor, cut off and deleted.
with open(f"{ROOT}/kept", "w+b", buffering=0) as kept:
    kept.write(bytes(range(256)) * 64)
    nap()
    os.rename(f"{ROOT}/kept", f"{ROOT}/a/moved")
    with open(f"{ROOT}/a/moved", "ab") as other:
        other.write(b"appended")
        nap()
    kept.seek(-8, io.SEEK_END)
    print(kept.read())
    kept.truncate(1000)
    os.unlink(f"{ROOT}/a/moved")
    nap()
    kept.seek(500)
    kept.write(b"in the middle")
    kept.seek(0)
    content = kept.read()
    print(len(content), hashlib.sha256(content).hexdigest(), os.path.exists(f"{ROOT}/a/moved"))

# A hole.
with open(f"{ROOT}/hole", "wb") as hole:
    hole.seek(100_000)
    nap()
    hole.write(b"x")
print(os.path.getsize(f"{ROOT}/hole"), open(f"{ROOT}/hole", "rb").read(3))

os.symlink("a/b/file3", f"{ROOT}/link")
os.link(f"{ROOT}/a/b/file4", f"{ROOT}/hard")
print(open(f"{ROOT}/link").readline(), os.readlink(f"{ROOT}/link"), os.stat(f"{ROOT}/hard").st_nlink)

with zipfile.ZipFile(f"{ROOT}/all.zip", "w", zipfile.ZIP_STORED) as archive:
    for name, _, _ in list(tree(f"{ROOT}/a")):
        archive.writestr(zipfile.ZipInfo(name), open(f"{ROOT}/a/{name}", "rb").read())
    nap()
with zipfile.ZipFile(f"{ROOT}/all.zip") as archive:
    nap()
    print(archive.testzip(), len(archive.namelist()))
    archive.extractall(f"{ROOT}/out")
print(list(tree(f"{ROOT}/out")) == list(tree(f"{ROOT}/a")))

entries = os.scandir(f"{ROOT}/a/b")
first = next(entries)
nap()
print(len(list(entries)) + 1)
entries.close()

os.replace(f"{ROOT}/a/b/file1", f"{ROOT}/a/b/file2")
shutil.copyfile(f"{ROOT}/a/b/file2", f"{ROOT}/a/copy")
tries("rmdir", os.rmdir, f"{ROOT}/a")
tries("mkdir", os.mkdir, f"{ROOT}/a")
tries("open", open, f"{ROOT}/none/file", "w")
tries("open dir", open, f"{ROOT}/a", "w")
tries("unlink", os.unlink, f"{ROOT}/file")
tries("rename", os.rename, f"{ROOT}/a", f"{ROOT}/a/b/c/d")
tries("listdir", os.listdir, f"{ROOT}/hole")
os.utime(f"{ROOT}/hole", (1_000_000_000, 1_000_000_000))
print(os.stat(f"{ROOT}/hole").st_mtime)
shutil.rmtree(f"{ROOT}/out")
nap()
for line in tree(ROOT):
    if line[0] != "all.zip":
        print(*line)
