"""OCI layout folders made by hand: images without a registry, or for one."""

import hashlib
import io
import json
import tarfile

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Layout:
    def __init__(self, folder):
        self.folder = folder
        (folder / "blobs/sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def blob(self, content, kind):
        digest = hashlib.sha256(content).hexdigest()
        (self.folder / "blobs/sha256" / digest).write_bytes(content)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

    def finish(self, config, layers):
        manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers})
        entry = self.blob(manifest.encode(), MANIFEST)
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
        return self.folder


def artifact_layout(folder, content):
    """A CNCF Wasm artifact; whether `content` is Wasm is the caller's business."""
    its = Layout(folder)
    config = its.blob(b'{"architecture":"wasm","os":"wasip1","layerDigests":[]}',
                      "application/vnd.wasm.config.v0+json")
    return its.finish(config, [its.blob(content, "application/wasm")])


def layered_layout(folder, files, **config):
    """An image of one tar layer with these files (path → bytes)."""
    its = Layout(folder)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, content in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    layer = its.blob(packed.getvalue(), "application/vnd.oci.image.layer.v1.tar")
    document = {"architecture": "wasm", "os": "wasip1", "config": config,
                "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}
    return its.finish(its.blob(json.dumps(document).encode(), "application/vnd.oci.image.config.v1+json"),
                      [layer])


def publish(push, layout, reference):
    """Sends the image of a layout folder to a registry by tools/push (the fixture); returns the reference."""
    registry = push.Registry(reference)
    for blob in (layout / "blobs/sha256").iterdir():
        registry.publish_blob(blob.read_bytes())
    entry, = json.loads((layout / "index.json").read_text())["manifests"]
    manifest = json.loads((layout / "blobs" / entry["digest"].replace(":", "/")).read_text())
    registry.publish_manifest(manifest, registry.tag)
    return reference
