"""Photos of 500x375 for benchmarks, cut from Debian's plasma-workspace-wallpapers or from a folder of one's own."""
import glob, os, random, subprocess, sys, tempfile


def photos(count, own=None):
    """As many, one after the other, the same every time."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        if not own:
            subprocess.run(["apt-get", "download", "-q", "plasma-workspace-wallpapers"], cwd=folder, check=True, capture_output=True)
            subprocess.run(["dpkg", "-x", *glob.glob(f"{folder}/*.deb"), f"{folder}/wallpapers"], check=True)
            own = f"{folder}/wallpapers"
        files = sorted(f for f in glob.glob(f"{own}/**/*.jp*g", recursive=True) if min(Image.open(f).size) >= 900)
        if not files:
            sys.exit(f"no JPEGs of 900 px and more under {own}")
        rng = random.Random(0)
        for i in range(count):
            photo = Image.open(files[i * len(files) // count]).convert("RGB")
            left, top = rng.randrange(photo.width - 1000 + 1) if photo.width > 1000 else 0, rng.randrange(photo.height - 750)
            yield photo.crop((left, top, left + 1000, top + 750)).resize((500, 375), Image.LANCZOS)


def save(folder, count, own=None):
    """As many JPEGs into a folder that is made; nothing if it is there."""
    if os.path.isdir(folder):
        return
    os.makedirs(f"{folder}.part", exist_ok=True)
    for i, photo in enumerate(photos(count, own)):
        photo.save(f"{folder}.part/{i:04}.jpg", quality=92)
    os.rename(f"{folder}.part", folder)
