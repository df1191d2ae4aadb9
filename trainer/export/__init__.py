"""A trained encoder on its own: weights as safetensors, a card that describes the input, optionally ONNX.

    import trainer

    encoder = trainer.load_encoder("exported")
    features = encoder(clips)  # clips [N, 3, T, V, M] float32 -> [N, D]

This needs neither the run nor a store.
"""

from trainer.export.card import CARD, WEIGHTS, EncoderCard
from trainer.export.load import load_encoder
from trainer.export.read import LoadedEncoder
from trainer.export.write import export_run

__all__ = ["CARD", "WEIGHTS", "EncoderCard", "LoadedEncoder", "export_run", "load_encoder"]
