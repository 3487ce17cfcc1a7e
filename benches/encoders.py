"""Items per second of `codistill features encode` beside PyTorch (Hugging Face transformers), same files, one run.

    pip install torch transformers pillow numpy
    cargo build --release
    python benches/encoders.py [--items 512] [--device cpu] [--threads N] [--text FOLDER] [--image FOLDER]

Without FOLDERs the models are random ones of the shapes of MiniLM-L6 and ViT-B/32 (speed does not depend on weights).
Both sides read the same texts and JPEG files, sort texts by length, compute batches of 32 in float32, and include
tokenising, decoding and resizing. Both are timed twice; the faster run counts.
"""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time

import numpy as np
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer

FIXTURES = pathlib.Path(__file__).parent.parent / "tests" / "fixtures" / "encoders"
BATCH = 32


def make_text_model(folder):
    tokenizer = Tokenizer.from_file(str(FIXTURES / "bert" / "tokenizer.json"))
    config = transformers.BertConfig(
        vocab_size=30522, hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
    )
    transformers.BertModel(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))


def make_image_model(folder):
    transformers.ViTModel(transformers.ViTConfig(patch_size=32), add_pooling_layer=False).save_pretrained(folder)
    transformers.ViTImageProcessorPil().save_pretrained(folder)


def make_items(home, count):
    """Texts of 3 to 60 words and JPEG pictures of about 400x600, like a shop's catalogue."""
    rng = np.random.default_rng(1)
    words = ["toy", "story", "red", "silk", "dress", "wooden", "rod", "children", "classic", "night", "word"]
    texts = [" ".join(rng.choice(words, rng.integers(3, 60))) for _ in range(count)]
    (home / "pictures").mkdir()
    y, x = np.mgrid[0:600, 0:400]
    for n in range(count):
        a, b, c = rng.uniform(0.01, 0.2, 3)
        pixels = np.stack([127 + 100 * np.sin(x * a + y * b + k * c * 9) for k in range(3)], -1)
        Image.fromarray(pixels.astype(np.uint8)).save(home / "pictures" / f"{n}.jpg", quality=85)
    with open(home / "items.csv", "w") as f:
        f.write("item,title,image\n")
        f.writelines(f"i{n},{text},pictures/{n}.jpg\n" for n, text in enumerate(texts))
    with open(home / "log.csv", "w") as f:
        f.write("user,item,time\n")
        f.writelines(f"u{u},i{n},{n}\n" for n in range(count) for u in range(3))
    return texts


def ours(program, home, modality, model, args, run):
    command = [program, "features", "encode", str(home / "data"), "--modality", modality, "--encoder", str(model)]
    command += ["--device", args.device, "--batch", str(BATCH), "--view", f"{modality}{run}", "--json", "--no-progress"]
    environment = dict(os.environ, RAYON_NUM_THREADS=str(args.threads))
    out = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(out.stdout)["seconds"]


def torch_text(model, tokenizer, texts, device):
    start = time.perf_counter()
    ids = sorted((tokenizer.encode(t).ids for t in texts), key=len)
    out = []
    for at in range(0, len(ids), BATCH):
        batch = ids[at : at + BATCH]
        longest = max(map(len, batch))
        mask = torch.tensor([[1] * len(i) + [0] * (longest - len(i)) for i in batch], device=device)
        padded = torch.tensor([i + [0] * (longest - len(i)) for i in batch], device=device)
        states = model(padded, attention_mask=mask).last_hidden_state
        out.append(((states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)).cpu())
    return time.perf_counter() - start, torch.cat(out)


def torch_images(model, processor, paths, device):
    start = time.perf_counter()
    out = []
    for at in range(0, len(paths), BATCH):
        pictures = [Image.open(p).convert("RGB") for p in paths[at : at + BATCH]]
        pixels = processor(pictures, return_tensors="pt")["pixel_values"].to(device)
        out.append(model(pixels).last_hidden_state[:, 0].cpu())
    return time.perf_counter() - start, torch.cat(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=512)
    parser.add_argument("--device", default="cpu", help="of codistill; PyTorch takes cuda where this is not cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--text", type=pathlib.Path)
    parser.add_argument("--image", type=pathlib.Path)
    parser.add_argument("--program", default=str(pathlib.Path(__file__).parent.parent / "target/release/codistill"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = "cpu" if args.device == "cpu" else "cuda"
    with tempfile.TemporaryDirectory() as home, torch.no_grad():
        home = pathlib.Path(home)
        texts = make_items(home, args.items)
        text, image = args.text or home / "text", args.image or home / "image"
        if not args.text:
            text.mkdir()
            make_text_model(text)
        if not args.image:
            image.mkdir()
            make_image_model(image)
        prepare = [args.program, "prepare", str(home / "log.csv"), "--items", str(home / "items.csv"), "-o", str(home / "data")]
        subprocess.run(prepare + ["--user-core", "1", "--item-core", "1"], check=True, capture_output=True)
        tokenizer = Tokenizer.from_file(str(text / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(128)
        bert = transformers.AutoModel.from_pretrained(text).eval().to(device)
        vit = transformers.AutoModel.from_pretrained(image).eval().to(device)
        processor = transformers.AutoImageProcessor.from_pretrained(image, use_fast=False)
        paths = [home / "pictures" / f"{n}.jpg" for n in range(args.items)]
        print(f"{args.items} items, {args.threads} threads, device {args.device}, torch {torch.__version__} on {device}")
        for name, model, peer in [
            ("text", text, lambda: torch_text(bert, tokenizer, texts, device)),
            ("image", image, lambda: torch_images(vit, processor, paths, device)),
        ]:
            # Alternating, so that a busy machine disturbs both.
            mine, theirs = [], []
            for run in range(2):
                mine.append(ours(args.program, home, name, model, args, run))
                theirs.append(peer()[0])
            mine, theirs = min(mine), min(theirs)
            print(f"{name:5}  codistill {args.items / mine:8.1f} items/s   torch {args.items / theirs:8.1f} items/s   ratio {theirs / mine:.2f}")


if __name__ == "__main__":
    main()
