"""Names of architectures and input scales; no torch here, so that help is instant."""

ENCODERS = ("small", "resnet18", "resnet34", "resnet50", "convnext_t", "vit_s16", "swin", "swin24")
NORMALISATIONS = ("imagenet", "half", "none")
