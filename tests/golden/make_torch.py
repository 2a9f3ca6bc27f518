#!/usr/bin/env python3
"""Weights of PyTorch's recurrent modules, an input sequence and the module's outputs, as safetensors.

    pip install torch==2.15.0 safetensors numpy
    python tests/golden/make_torch.py

One file for each module: its state dict under PyTorch's names, `input` `[T, m]`, `output` `[T, hidden]`, started from
zero. `torch_gru_f64` is in double precision, the others are in single; `torch_elman_nested` is a larger model's file, the
module's names behind `encoder.rnn.`, without biases.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file

HERE = Path(__file__).resolve().parent
INPUT, HIDDEN, STEPS = 3, 5, 20


def write(name, kind, dtype=torch.float32, prefix="", **options):
    torch.manual_seed(7)
    module = kind(INPUT, HIDDEN, batch_first=True, **options).to(dtype)
    inputs = torch.randn(1, STEPS, INPUT, dtype=dtype)
    with torch.no_grad():
        output = module(inputs)[0]
    tensors = {prefix + key: value.contiguous() for key, value in module.state_dict().items()}
    tensors |= {"input": inputs[0].contiguous(), "output": output[0].contiguous()}
    save_file(tensors, HERE / f"{name}.safetensors")


write("torch_gru", torch.nn.GRU)
write("torch_gru_f64", torch.nn.GRU, torch.float64)
write("torch_lstm", torch.nn.LSTM)
write("torch_elman", torch.nn.RNN)
write("torch_elman_nested", torch.nn.RNN, prefix="encoder.rnn.", bias=False)
