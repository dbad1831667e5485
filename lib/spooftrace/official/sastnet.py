"""SASTNet for each task of CodecFake+ (ResponsibleGenAI/CodecFake-Source-Tracing); bona fide speech is class 0 in all.

VQ and AUX have the same tensors; only the name of a file distinguishes them. The files hold all of Whisper small, with
its decoder, although the official code never trains it.
"""

from __future__ import annotations

from functools import partial

from spooftrace.official.base import BONAFIDE, XLS_R, Config, OfficialCheckpoint, adam, config, finetuned, node

WHISPER = "openai/whisper-small"
CROP = 82200  # samples: 256 frames of XLS-R
TASKS = {  # table of the classes, their weights in the loss
    "VQ": ("utt2vq", [0.1, 0.3, 0.3, 0.3]),
    "AUX": ("utt2aux", [0.1, 0.3, 0.3, 0.3]),
    "DEC": ("utt2dec", [0.2, 0.4, 0.4]),
    "BIN": ("utt2label", [0.5, 0.5]),
}
NAMES = (
    (r"SSL_proj\.(.+)", r"projection.\1"),
    (r"MAE\.(.+)", r"mae.\1"),
    (r"ta_transformer\.(.+)", r"fusion.semantic_to_acoustic.\1"),
    (r"at_transformer\.(.+)", r"fusion.acoustic_to_semantic.\1"),
    (r"at_ta_transformer\.(.+)", r"fusion.fusion.\1"),
    (r"multiclass_branch\.(.+)", r"classifier.\1"),
    (r"((?:LL|first_bn1?|encoder|attention)\..+)", r"classifier.\1"),
)
LEFT_OUT = (
    (r"whisper\.model\..+", "of the frozen Whisper"),
    (r"(?:ta|at|at_ta)_transformer\.(?:version|embed_positions\._float_tensor)", "without effect"),
)


def _config(width: int, _depth: int, task: str) -> Config:
    table, class_weight = TASKS[task]
    return config(
        finetuned(XLS_R),
        node("SASTNet", input_dim=width, num_outputs=len(class_weight)),
        adam(5e-6, name="AdamW"),
        node("Attribution", table=table, class_weight=class_weight),
        crop=CROP,
        others={"whisper": node("Whisper", model=WHISPER, layer=-1, padding="30s")},
    )


def _checkpoint(task: str) -> OfficialCheckpoint:
    logits = f"the bona fide logit; {BONAFIDE}" if task == "BIN" else "the logit of each class"
    return OfficialCheckpoint(
        system=f"sastnet_{task.lower()}",
        title=f"SASTNet ({task}) of CodecFake+",
        repository="ResponsibleGenAI/CodecFake-Source-Tracing",
        score=f"{logits}; the official code shuffles tokens, and its scores depend on the seed and the batches",
        config=partial(_config, task=task),
        names=NAMES,
        left_out=LEFT_OUT,
        training_only=(("weighting.params", (1.0, 1.0)),),
        ssl="fairseq",
        assumed=(f"whisper: {WHISPER} with its public weights, which the official code keeps frozen",),
    )


CHECKPOINTS = tuple(map(_checkpoint, TASKS))
