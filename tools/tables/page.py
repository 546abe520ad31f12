"""The Markdown pages, written from the records alone."""
from lgreco import HOPELESS, LgrecoTable, TARGETS
from rules import best_within, frontier, is_equal

NO = "–"


def write(table, results, path, beside_results=None):
    lines = lgreco_page(table, results) if isinstance(table, LgrecoTable) else settings_page(table, results, beside_results or {})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(head(table, results) + lines + failures(table, results)) + "\n", encoding="utf-8")


def head(table, results):
    runs = {run.key for run in table.runs(results)}
    have = sum(key in results for key in runs)
    verb = "peers" if any(run.launcher == "peer" for run in table.runs(results)) else f"tables 3600 {table.name}"
    lines = [f"# {table.title}", "", f"Written by `./run {verb}` from [{table.name}.jsonl]({table.name}.jsonl), where each record has its command. Two ranks. "
             "Metric: mean ± standard deviation over seeds; ratio: `ratio_total`.", ""]
    if have < len(runs):
        lines += [f"**Unfinished**: {have} of the {len(runs)} runs known so far are made; the same command makes the rest.", ""]
    return lines


def failures(table, results):
    failed = [results[run.key] for run in table.runs(results) if results.get(run.key, {}).get("status") == "failed"]
    if not failed:
        return []
    return ["", "Failed runs:", ""] + [f"- {record['label']}, seed {record['seed']}: `{record['error']}`" for record in failed]


def value(summary):
    if summary is None:
        return NO
    deviation = "" if summary.deviation is None else f" ± {summary.deviation:.4f}"
    return f"{summary.mean:.4f}{deviation}"


def rows(header, body):
    return ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)] + ["| " + " | ".join(row) + " |" for row in body]


def lgreco_page(table, results):
    lines = ["The uniform reference (**bold**) is the strength that sends least while its mean equals the uncompressed one within one standard "
             "deviation (of both together), or is better. Gain: how many times less L-GreCo sends than it, at a mean that is equal in the same sense. "
             f"A strength whose first seed is worse than uncompressed by more than {HOPELESS} deviations of its seeds gets no other seed.", ""]
    for section in table.sections:
        families = table.families(section, results)
        options = ", ".join(f"{name} {value}" for name, value in {**section.options, **section.plan}.items())
        lines += [f"## {section.title[0].upper()}{section.title[1:]}", "", f"`{options}`", ""]
        lines += rows(["family", "uniform reference", "ratio", "L-GreCo", "ratio", "gain", "target"], [conclusion_row(table, f) for f in families])
        lines += ["", *mixed_lines(table, families), *sweep_rows(families), ""]
    return lines


def conclusion_row(table, family):
    chosen, best, gain = table.conclusion(family)
    return [family.name, chosen.label if chosen else NO, f"{chosen.ratio:.1f}" if chosen else NO, f"{best.label} ({best.seeds} seeds)" if best else NO,
            f"{best.ratio:.1f}" if best else NO, f"**{gain:.2f}**" if gain else NO, f"{TARGETS[family.name]}"]


def mixed_lines(table, families):
    around, runs = table.mixed_runs(families)
    summary = around.summary(runs[0].label, runs) if around else None
    if summary is None:
        return ["Mixed: not run yet.", ""]
    single = around.best_lgreco()
    equal = "equal to" if is_equal(summary, around.baseline) else "worse than"
    return [f"Mixed ({summary.label}, {summary.seeds} seeds): {value(summary)}, {equal} uncompressed, ratio {summary.ratio:.1f}: "
            f"{summary.ratio / single.ratio:.2f} times the best single family ({around.name}, {single.label}: {single.ratio:.1f}).", ""]


def sweep_rows(families):
    body, baseline = [], families[0].baseline
    if baseline is None:
        return []
    body.append(["uncompressed", "", value(baseline), NO, f"{baseline.ratio:.1f}", str(baseline.seeds)])
    for family in families:
        chosen, _ = family.reference()
        planned = [family.summary(label, runs) for label, _, runs in family.plans()]
        for summary in family.summaries() + [p for p in planned if p]:
            label = f"**{summary.label}**" if chosen and summary.label == chosen.label else summary.label
            equal = ", equal" if is_equal(summary, baseline) else ""
            body.append([family.name, label, value(summary), f"{summary.worse_by(baseline):+.4f}{equal}", f"{summary.ratio:.1f}", str(summary.seeds)])
    return rows(["family", "setting", families[0].baseline.metric, "worse than uncompressed by", "ratio", "seeds"], body)


def settings_page(table, results, beside_results):
    found = [pair for pair in (table.best(setting, results) for setting in table.settings) if pair[0]]
    uncompressed, _ = table.best(table.settings[0], results)
    if uncompressed is None:
        return ["No uncompressed run yet: nothing to compare with."]
    beside = [table.beside.best(setting, beside_results) for setting in table.beside.settings] if table.beside else []
    own, both = [summary for summary, _ in found], found + [pair for pair in beside if pair[0]]
    front = {summary.label for summary in frontier(own)}
    lines = target_lines(table, own, uncompressed)
    lines += [f"Each setting at the better of the learning rates {', '.join(table.rates)} (of the first seed). A setting far from the frontier "
              "with its first seed gets no other (tools/tables/settings.py). Bold: no setting of ours is both better and smaller.", ""]
    body = []
    for summary, rate in sorted(both, key=lambda pair: pair[0].ratio):
        label = f"**{summary.label}**" if summary.label in front else summary.label
        body.append([label, rate, value(summary), f"{summary.worse_by(uncompressed):+.4f}", f"{summary.ratio:.1f}", str(summary.seeds)])
    return lines + rows(["setting", "lr", uncompressed.metric, "worse than uncompressed by", "ratio", "seeds"], body)


def target_lines(table, found, uncompressed):
    if not table.targets:
        return []
    body = []
    for distance, ratio in table.targets:
        best = best_within(found, uncompressed, distance)
        reached = f"{best.label}: {best.ratio:.1f} ({best.seeds} seeds)" if best else NO
        body.append([f"{distance}", f"{ratio}", reached, "yes" if best and best.ratio >= ratio else "not yet"])
    return rows(["within, of uncompressed", "ratio wanted", "most that was found", "reached"], body) + [""]
