"""Makes tests/fixtures/encoders: tiny random encoders and what Hugging Face transformers and Pillow give for them.

    pip install torch transformers tokenizers pillow safetensors numpy onnx onnxruntime
    python tests/encoder_fixtures.py

Every folder is laid out as `save_pretrained` lays it out, so that the program reads what users have.
`expected.safetensors` beside the weights holds inputs and outputs, `pictures/expected.safetensors` decoded and resized
pictures, `texts.json` token ids.
"""

import io
import json
import pathlib
import shutil

import numpy as np
import onnx
import onnxruntime
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

ROOT = pathlib.Path(__file__).parent / "fixtures" / "encoders"

TEXTS = [
    "Toy Story (1995). Adventure|Animation",
    "Don't panic: it's 42.5 % of 1,000!",
    "Crème brûlée à la française, naïve façade",
    "Die Straße führt über Ähren; ẞ und ß",
    "Москва слезам не верит, ёлка",
    "Ελλάδα: ΟΔΥΣΣΕΥΣ και σοφός",
    "千と千尋の神隠し 2001年",
    "卧虎藏龙，武侠电影。",
    "올드보이 — 복수",
    "कभी ख़ुशी कभी ग़म",
    "ความรัก ไม่มีวันตาย",
    "ألف ليلة وليلة ١٢٣",
    "שָׁלוֹם עולם",
    "İstanbul'da ıssız IĞDIR",
    "Việt Nam: Đường đến trường",
    "emoji 👩‍👩‍👧‍👦 ok 🇨🇭 e\u0301 \u200b\u00ad zero",
    "tabs\tand\nnew lines\r\nand\u00a0nbsp\u3000wide",
    "ﬁne ﬀ ½ ² Ⅷ ｆｕｌｌ",
    "[CLS] special [MASK] tokens [SEP] <|endoftext|> and <|startoftext|>",
    "a_b-c--d...e?!'s we'll they've I'm",
    "\x00\x07\ufffd\ud7ff\ue000 controls",
    "",
    "   ",
    "x" * 150,
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "word " * 200,
]


def corpus():
    return [t for t in TEXTS if "special" not in t and len(t) < 140] * 4


def learn(tok, suffix, continued, merges):
    """Pairs in the order of their merging, ties by name: the library's own trainers differ from run to run."""
    words = {}
    for text in corpus():
        for word, _ in tok.pre_tokenizer.pre_tokenize_str(tok.normalizer.normalize_str(text)):
            symbols = list(word)
            symbols[-1] += suffix
            symbols = tuple(symbols[:1] + [continued + s for s in symbols[1:]])
            words[symbols] = words.get(symbols, 0) + 1
    alphabet = sorted({s for word in words for s in word})
    learnt = []
    for _ in range(merges):
        counts = {}
        for word, n in words.items():
            for pair in zip(word, word[1:]):
                counts[pair] = counts.get(pair, 0) + n
        left, right = max(counts, key=lambda pair: (counts[pair], pair))
        merged = left + right.removeprefix(continued) if continued else left + right
        learnt.append((left, right, merged))
        renewed = {}
        for word, n in words.items():
            out = []
            for symbol in word:
                if out and (out[-1], symbol) == (left, right):
                    out[-1] = merged
                else:
                    out.append(symbol)
            renewed[tuple(out)] = renewed.get(tuple(out), 0) + n
        words = renewed
    return alphabet, learnt


def bert_tokenizer():
    tok = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tok.normalizer = normalizers.BertNormalizer(lowercase=True)
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    alphabet, learnt = learn(tok, "", "##", 120)
    entries = dict.fromkeys(special + alphabet + [merged for _, _, merged in learnt])
    tok.model = models.WordPiece({token: n for n, token in enumerate(entries)}, unk_token="[UNK]")
    tok.add_special_tokens(special)
    tok.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tok


def clip_tokenizer():
    tok = Tokenizer(models.BPE())
    tok.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    split = pre_tokenizers.Split(Regex(words), behavior="removed", invert=True)
    tok.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    special = ["<|startoftext|>", "<|endoftext|>"]
    _, learnt = learn(tok, "</w>", "", 200)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    entries = dict.fromkeys(special + alphabet + [s + "</w>" for s in alphabet] + [merged for _, _, merged in learnt])
    tok.model = models.BPE(
        {token: n for n, token in enumerate(entries)}, [(left, right) for left, right, _ in learnt],
        unk_token="<|endoftext|>", end_of_word_suffix="</w>",
    )
    tok.add_special_tokens(special)
    data = json.loads(tok.to_str())
    data["post_processor"] = {
        "type": "RobertaProcessing", "sep": ["<|endoftext|>", 1], "cls": ["<|startoftext|>", 0],
        "trim_offsets": False, "add_prefix_space": False,
    }
    return Tokenizer.from_str(json.dumps(data))


def save_tokenizer(tok, folder):
    # One line, without white space, keeps the fixtures small.
    (folder / "tokenizer.json").write_text(json.dumps(json.loads(tok.to_str()), ensure_ascii=False))


def ranges(tok):
    """What becomes of every character between two letters, as runs of neighbours that are treated alike."""
    runs = []
    for code in range(0x30000):
        if 0xD800 <= code < 0xE000:
            continue
        ids = tok.encode("a" + chr(code) + "b", add_special_tokens=False).ids
        if runs and runs[-1][1] == code - 1 and runs[-1][2] == ids:
            runs[-1][1] = code
        else:
            runs.append([code, code, ids])
    return runs


def randomise(model, seed):
    """Weights large enough that no norm, bias or position could be forgotten without a visible difference."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        with torch.no_grad():
            parameter.copy_(parameter + 0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def fresh(name):
    folder = ROOT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def save_expected(folder, tensors):
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, folder / "expected.safetensors")


def text_batch(tok, most, pad):
    texts = ["Toy Story (1995)", "Москва слезам не верит, ёлка", "a", "千と千尋の神隠し"]
    ids = []
    tok.enable_truncation(most)
    for text in texts:
        ids.append(tok.encode(text).ids)
    tok.no_truncation()
    longest = max(map(len, ids))
    mask = [[1] * len(i) + [0] * (longest - len(i)) for i in ids]
    ids = [i + [pad] * (longest - len(i)) for i in ids]
    return texts, torch.tensor(ids), torch.tensor(mask)


def states(out):
    return {f"hidden.{n}": h for n, h in enumerate(out.hidden_states)}


def bert(tok):
    folder = fresh("bert")
    config = transformers.BertConfig(
        vocab_size=tok.get_vocab_size(), hidden_size=16, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=40, max_position_embeddings=24,
    )
    model = randomise(transformers.BertModel(config), 1)
    model.save_pretrained(folder)
    save_tokenizer(tok, folder)
    texts, ids, mask = text_batch(tok, 20, 0)
    with torch.no_grad():
        out = model(ids, attention_mask=mask, output_hidden_states=True)
    mean = (out.last_hidden_state * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    save_expected(folder, {"mask": mask, "mean": mean, "unit": torch.nn.functional.normalize(mean), **states(out)})
    (folder / "texts.json").write_text(json.dumps(texts, ensure_ascii=False))

    # The layout of bert-base-uncased: a prefix, heads, the norm's old names; and half precision.
    old = fresh("bert-old-layout")
    renamed = {}
    for name, value in load_file(folder / "model.safetensors").items():
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        renamed["bert." + name] = value.bfloat16()
    renamed["cls.predictions.bias"] = torch.zeros(4)
    save_file(renamed, old / "model.safetensors")
    for name in ["config.json", "tokenizer.json"]:
        shutil.copy(folder / name, old / name)
    (old / "1_Pooling").mkdir()
    (old / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    modules = ["Transformer", "Pooling", "Normalize"]
    (old / "modules.json").write_text(json.dumps([{"type": f"sentence_transformers.models.{m}"} for m in modules]))


def picture():
    """Smooth shapes with edges and some noise, larger than the encoders read and not square."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[0:53, 0:70]
    planes = [127 + 100 * np.sin(x / 9 + c) * np.cos(y / (7 + c)) for c in range(3)]
    pixels = np.stack(planes, -1) + rng.normal(0, 12, (53, 70, 3))
    pixels[20:35, 30:50] = [250, 20, 90]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def vit():
    folder = fresh("vit")
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=40, image_size=32, patch_size=8, num_labels=3
    )
    model = randomise(transformers.ViTForImageClassification(config), 2)
    model.save_pretrained(folder)
    size = {"height": 32, "width": 32}
    processor = transformers.ViTImageProcessorPil(size=size)
    processor.save_pretrained(folder)
    pixels = processor(picture(), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        out = model.vit(pixels, output_hidden_states=True)
    save_expected(folder, {"pixels": pixels, "last": out.last_hidden_state, **states(out)})


def clip(tok):
    folder = fresh("clip")
    shared = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 40}
    config = transformers.CLIPConfig(
        text_config={**shared, "vocab_size": tok.get_vocab_size(), "max_position_embeddings": 24, "eos_token_id": 1, "bos_token_id": 0, "pad_token_id": 1},
        vision_config={**shared, "hidden_size": 24, "image_size": 32, "patch_size": 8},
        projection_dim=12,
    )
    model = randomise(transformers.CLIPModel(config), 3)
    model.save_pretrained(folder)
    save_tokenizer(tok, folder)
    processor = transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor.save_pretrained(folder)
    texts, ids, mask = text_batch(tok, 20, 1)
    (folder / "texts.json").write_text(json.dumps(texts, ensure_ascii=False))
    pixels = processor(picture(), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        t = model.text_model(ids, attention_mask=mask, output_hidden_states=True)
        v = model.vision_model(pixels, output_hidden_states=True)
        text_embeds = model.text_projection(t.pooler_output)
        image_embeds = model.visual_projection(v.pooler_output)
    expected = {"mask": mask, "text_last": t.last_hidden_state, "text_embeds": text_embeds}
    expected |= {"pixels": pixels, "image_last": v.last_hidden_state, "image_embeds": image_embeds}
    expected |= {f"text_{k}": x for k, x in states(t).items()} | {f"image_{k}": x for k, x in states(v).items()}
    save_expected(folder, expected)

    # Both towers alone, as CLIPTextModelWithProjection and CLIPVisionModelWithProjection save them.
    for name, kind, mine in [
        ("clip-text", transformers.CLIPTextModelWithProjection, ("text_model.", "text_projection.")),
        ("clip-vision", transformers.CLIPVisionModelWithProjection, ("vision_model.", "visual_projection.")),
    ]:
        alone = fresh(name)
        part = kind(config.text_config if name == "clip-text" else config.vision_config)
        part.config.projection_dim = 12
        part = kind(part.config)
        part.load_state_dict({k: v for k, v in model.state_dict().items() if k.startswith(mine)}, strict=False)
        part.save_pretrained(alone)
        shutil.copy(folder / ("tokenizer.json" if name == "clip-text" else "preprocessor_config.json"), alone)


def encoded(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def pictures():
    folder = fresh("pictures")
    image = picture()
    expected = {}

    def keep(name, data, convert=lambda i: i.convert("RGB")):
        (folder / name).write_bytes(data)
        opened = Image.open(io.BytesIO(data))
        expected[name] = torch.tensor(np.asarray(convert(opened)).copy())

    keep("plain.png", encoded(image, "PNG"))
    keep("grey.png", encoded(image.convert("L"), "PNG"))
    keep("alpha.png", encoded(Image.merge("RGBA", (*image.split(), image.split()[1])), "PNG"))
    keep("palette.png", encoded(image.quantize(16), "PNG"))
    keep("baseline.jpg", encoded(image, "JPEG", quality=90, subsampling=0))
    keep("subsampled.jpg", encoded(image, "JPEG", quality=75, subsampling=2))
    keep("progressive.jpg", encoded(image, "JPEG", quality=85, progressive=True, subsampling=0))
    keep("grey.jpg", encoded(image.convert("L"), "JPEG", quality=90))
    keep("cmyk.jpg", encoded(image.convert("CMYK"), "JPEG", quality=95))
    keep("lossless.webp", encoded(image, "WEBP", lossless=True))
    keep("lossy.webp", encoded(image, "WEBP", quality=90))
    keep("plain.bmp", encoded(image, "BMP"))
    keep("still.gif", encoded(image.quantize(32), "GIF"))
    from PIL import ImageOps
    for orientation in range(2, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = encoded(image.resize((24, 16)), "JPEG", quality=95, subsampling=0, exif=exif)
        keep(f"exif{orientation}.jpg", data, lambda i: ImageOps.exif_transpose(i).convert("RGB"))
    # 16 bits a sample, which Pillow can't write: by hand.
    import struct
    import zlib
    wide = np.asarray(image).astype(np.uint16) * 257
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in wide)
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    head = struct.pack(">IIBBBBB", 70, 53, 16, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    keep("deep.png", png)
    # Refused: what they are is in their names.
    frames = [image.resize((24, 16)), image.resize((24, 16)).rotate(180)]
    for name, form in [("animated.gif", "GIF"), ("animated.webp", "WEBP"), ("animated.png", "PNG")]:
        (folder / name).write_bytes(encoded(frames[0], form, save_all=True, append_images=frames[1:], duration=100))
    whole = encoded(image, "JPEG", quality=90)
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "truncated.png").write_bytes(encoded(image, "PNG")[:900])
    # 30000 x 30000 grey pixels in a few hundred bytes of header: a bomb that must be refused by its claim.
    bomb = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(100_000), 9)
    (folder / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bomb) + chunk(b"IDAT", body) + chunk(b"IEND", b""))
    (folder / "text.jpg").write_text("this is not a picture")
    (folder / "empty.jpg").write_bytes(b"")

    filters = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4}
    for name, number in filters.items():
        for width, height in [(32, 32), (61, 20), (7, 90), (140, 106), (70, 11)]:
            # Pillow's order of the two passes depends on its version and the size: each by itself, and both at once.
            passes = image.resize((width, image.height), number).resize((width, height), number)
            for way, resized in [("passes", passes), ("whole", image.resize((width, height), number))]:
                expected[f"resize.{name}.{width}.{height}.{way}"] = torch.tensor(np.asarray(resized).copy())
    for side in [24, 32]:
        for name, size in [("wide", (70, 53)), ("tall", (31, 67))]:
            processor = transformers.CLIPImageProcessorPil(size={"shortest_edge": side + 3}, crop_size={"height": side, "width": side})
            source = image.resize(size)
            expected[f"clip.{side}.{name}"] = torch.tensor(processor(source)["pixel_values"][0])
    save_expected(folder, expected)


def onnx_files(tok):
    """A picture encoder (convolution, clip, mean over places) and a text encoder (embedding, map, tanh)."""
    from onnx import TensorProto, helper, numpy_helper

    folder = fresh("onnx")
    rng = np.random.default_rng(9)
    weight = lambda name, *shape: numpy_helper.from_array(rng.normal(0, 0.3, shape).astype(np.float32), name)
    value = lambda name, kind, shape: helper.make_tensor_value_info(name, kind, shape)

    def save(name, nodes, inputs, outputs, weights):
        graph = helper.make_graph(nodes, name, inputs, outputs, weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, folder / f"{name}.onnx")
        return onnxruntime.InferenceSession(folder / f"{name}.onnx")

    make = helper.make_node
    bounds = [numpy_helper.from_array(np.float32(0), "low"), numpy_helper.from_array(np.float32(6), "high")]
    session = save(
        "picture",
        [
            make("Conv", ["pixels", "kernel"], ["c"], strides=[4, 4], kernel_shape=[5, 5], pads=[1, 1, 2, 2]),
            make("Clip", ["c", "low", "high"], ["r"]),
            make("GlobalAveragePool", ["r"], ["g"]),
            make("Flatten", ["g"], ["features"]),
            make("MatMul", ["features", "head"], ["logits"]),
        ],
        [value("pixels", TensorProto.FLOAT, ["N", 3, 32, 32])],
        [value("logits", TensorProto.FLOAT, ["N", 4]), value("features", TensorProto.FLOAT, ["N", 10])],
        [weight("kernel", 10, 3, 5, 5), weight("head", 10, 4), *bounds],
    )
    processor = transformers.ViTImageProcessorPil(size={"height": 32, "width": 32})
    pixels = processor(picture())["pixel_values"][0][None].astype(np.float32)
    logits, features = session.run(["logits", "features"], {"pixels": pixels})
    session = save(
        "text",
        [
            make("Gather", ["words", "input_ids"], ["w"]),
            make("Gather", ["kinds", "token_type_ids"], ["k"]),
            make("Add", ["w", "k"], ["s"]),
            make("MatMul", ["s", "map"], ["m"]),
            make("Tanh", ["m"], ["t"]),
            make("Cast", ["attention_mask"], ["f"], to=TensorProto.FLOAT),
            make("Unsqueeze", ["f", "last"], ["u"]),
            make("Mul", ["t", "u"], ["last_hidden_state"]),
        ],
        [value(name, TensorProto.INT64, ["N", "T"]) for name in ["input_ids", "attention_mask", "token_type_ids"]],
        [value("last_hidden_state", TensorProto.FLOAT, ["N", "T", 6])],
        [weight("words", tok.get_vocab_size(), 8), weight("kinds", 2, 8), weight("map", 8, 6),
         numpy_helper.from_array(np.array([-1]), "last")],
    )
    save_tokenizer(tok, folder)
    texts, ids, mask = text_batch(tok, 20, 0)
    feed = {"input_ids": ids.numpy(), "attention_mask": mask.numpy(), "token_type_ids": np.zeros_like(ids.numpy())}
    (last,) = session.run(None, feed)
    (folder / "texts.json").write_text(json.dumps(texts, ensure_ascii=False))
    arrays = {"logits": logits, "features": features, "last": last}
    save_expected(folder, {"mask": mask, **{k: torch.from_numpy(v) for k, v in arrays.items()}})


def main():
    ROOT.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    word, pair = bert_tokenizer(), clip_tokenizer()
    bert(word)
    vit()
    clip(pair)
    pictures()
    onnx_files(word)
    cased = bert_tokenizer()
    cased.normalizer = normalizers.BertNormalizer(lowercase=False)
    save_tokenizer(cased, fresh("cased"))
    cases = {name: [tok.encode(t).ids for t in TEXTS] for name, tok in [("bert", word), ("clip", pair), ("cased", cased)]}
    (ROOT / "texts.json").write_text(json.dumps({"texts": TEXTS, **cases}, ensure_ascii=True))
    (ROOT / "characters.json").write_text(json.dumps(ranges(word)).replace(" ", ""))
    for path in sorted(ROOT.rglob("*")):
        if path.is_file():
            print(f"{path.stat().st_size:8} {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
