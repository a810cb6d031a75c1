"""The section of a model card about the ONNX files: size, speed, and how their scores were proved."""

from earmark.tagging.bundle import BundleConfig, BundleMember, Proof
from earmark.tagging.card import escaped, table

HEADING = "ONNX files"
MOST_ROWS = 50  # nets that the table shows


def onnx_files(config: BundleConfig) -> str:
    """What the section says, Markdown; empty if no net has an ONNX file with a proof."""
    proved = [(net, net.proof) for net in config.members if net.onnx is not None and net.proof is not None]
    if not proved:
        return ""
    first = proved[0][1]
    rows = [_row(net, proof) for net, proof in proved[:MOST_ROWS]]
    more = f"\n\n… and {len(proved) - MOST_ROWS:,} more." if len(proved) > MOST_ROWS else ""
    vectors = any(net.frontend.name == "embedding" for net, _ in proved)
    return "\n\n".join(
        [
            "Every file has one net. Input `waveform`, float32 `[batch, samples]`, mono, at the rate in the file's metadata"
            + (" (`vectors`, `[batch, D]`, of nets behind a pre-trained model)" if vectors else "")
            + "; outputs `scores` `[batch, classes]` and `embedding`. Opset 18. `earmark tag` prepares the sounds and combines the nets.",
            f"Before a file was kept, its scores were held against those of PyTorch on {first.sounds} {escaped(first.source)}. Times are of the "
            "longest of these, on one thread of the machine that wrote the file.",
            table(("file", "MB", "sound", "PyTorch", "ONNX Runtime", "largest difference"), rows) + more,
        ]
    )


def _row(net: BundleMember, proof: Proof) -> tuple[str, ...]:
    difference = f"{proof.difference:.1g}"
    if proof.bits == 8:
        difference = f"8 bits: {-(proof.points or 0):+.1f} points on {proof.clips or 0:,} clips"
    sound = f"{proof.seconds:.1f} s" if proof.seconds else "its vector"
    return (
        escaped(str(net.onnx)),
        f"{proof.bytes / 1e6:.1f}",
        sound,
        f"{proof.torch_ms:.2g} ms",
        f"{proof.onnx_ms:.2g} ms",
        difference,
    )
