"""What is never trained: text encoders, picture codecs, picture features.

text.py               a vocabulary; what every text encoder is
text_transformers.py  a pretrained transformer
codec.py              pixels, or a VAE's latents
features.py           picture features by a pretrained network
"""
