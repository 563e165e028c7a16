"""SRN, the reference model (Ren et al., BMVC 2019): configuration, model, training, prediction.

The only room that needs PyTorch: `pip install "handbench[train]"`. Importing this package, `config` or `command`
does not import it.
"""
