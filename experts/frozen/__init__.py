"""Frozen pretrained networks: text encoders, picture codecs, picture features.

text.py               the interface of text encoders
text_none.py          none, for models that read no text
text_vocabulary.py    a fixed vector a word
text_transformers.py  a pretrained transformer
text_loading.py       the text encoder of a configuration
codec.py              pixels, or a VAE's latents
features.py           picture features by a pretrained network
"""
