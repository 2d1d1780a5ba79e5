"""The demo's table, plot and sum check. Standard library and gnuplot only."""
import array
import json
import shutil
import subprocess

MIB = 1 << 20


def row(cells, widths):
    return "  ".join(str(cell).ljust(width) if i == 0 else str(cell).rjust(width)
                     for i, (cell, width) in enumerate(zip(cells, widths)))


def grid(header, rows):
    cells = [header, *rows]
    widths = [max(len(str(line[i])) for line in cells) for i in range(len(header))]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([row(header, widths), rule, *(row(line, widths) for line in rows)])


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def table(result):
    """One table of all figures, for people."""
    sites = result["sites"]
    before = {name: site["loss_before"] for name, site in sites.items()}
    after = {name: site["loss_after"] for name, site in sites.items()}
    rows = [[name, f"{before[name]:.3f}", f"{after[name]:.3f}", f"{after[name] - before[name]:+.3f}",
             f"{site['epsilon']:.3f}", f"{site['epsilon_alone']:.3f}",
             f"{site['bytes_sent'] / MIB:.2f}", f"{site['bytes_received'] / MIB:.2f}"]
            for name, site in sites.items()]
    fall = mean(after.values()) - mean(before.values())
    rows.append(["mean", f"{mean(before.values()):.3f}", f"{mean(after.values()):.3f}",
                 f"{fall:+.3f}", "", "", "", ""])
    first = next(iter(sites.values()))
    losses = grid(["site", "loss before", "after", "change", f"ε ({first['colluders']} colluder)",
                   "ε alone", "MiB sent", "received"], rows)
    coordinator = result["coordinator"]
    phases = grid(["phase", "seconds"], [[name, f"{seconds:.1f}"] for name, seconds
                                         in coordinator["phase_seconds"].items()])
    sizes = result["sizes"]
    facts = grid(["what", "figure"], [
        ["rounds", coordinator["rounds"]],
        ["δ", f"{first['delta']:g}"],
        ["merged model, F32", f"{sizes['f32_bytes'] / MIB:.1f} MiB"],
        ["merged model, Q8_0", f"{sizes['q8_0_bytes'] / MIB:.1f} MiB"],
        ["seconds in all", f"{result['seconds']:.0f}"]])
    answers = "\n\n".join(f"Q: {a['question']}\nA: {a['answer']}" for a in result["answers"])
    note = ("Loss is on held-out rows, computed at each site, outside what ε covers. ε is for one "
            "record added or removed.")
    return f"\n{losses}\n\n{phases}\n\n{facts}\n\n{note}\n\n{answers}"


def broken_promises(result, least_fall=0.12, most_epsilon=8.0):
    """What the demo promises and this run did not keep, in words; empty when all is well."""
    falls = {name: site["loss_before"] - site["loss_after"] for name, site in result["sites"].items()}
    broken = [f"held-out loss did not fall at {name} ({-fall:+.3f})"
              for name, fall in falls.items() if not fall > 0]
    if not mean(falls.values()) >= least_fall:
        broken.append(f"the mean fall of {mean(falls.values()):.3f} is below {least_fall}")
    broken += [f"ε at {name} is {site['epsilon']} and not at most {most_epsilon:g}"
               for name, site in result["sites"].items()
               if site["epsilon"] is None or not site["epsilon"] <= most_epsilon]
    return broken


def plot(output, result):
    """loss.png: held-out loss by site, before and after."""
    if not shutil.which("gnuplot"):
        return
    sites = result["sites"]
    first = next(iter(sites.values()))
    (output / "loss.dat").write_text("".join(
        f"{len(sites) - i} {site['loss_before']} {site['loss_after']} {name}\n"
        for i, (name, site) in enumerate(sites.items())))
    script = f"""
set terminal pngcairo size 900,420 font 'sans,12'
set output '{output / "loss.png"}'
set title 'Held-out loss at each site: {result["coordinator"]["rounds"]} rounds, \
ε = {first["epsilon"]:.2f} at δ = {first["delta"]:g}'
set xlabel 'nats a token'
set yrange [0.4:{len(sites) + 0.6}]
set offsets graph 0.08, graph 0.08, 0, 0
set grid xtics
set key outside right center
data = '{output / "loss.dat"}'
plot data using 2:1:($3-$2):(0):ytic(4) with vectors linewidth 2 linecolor rgb '#b0b8c0' notitle, \
     data using 2:1 with points pointtype 7 pointsize 1.6 linecolor rgb '#8899aa' title 'before', \
     data using 3:1 with points pointtype 7 pointsize 1.6 linecolor rgb '#2266aa' title 'after', \
     data using 2:1:(sprintf('%.3f', $2)) with labels offset 0,1 notitle, \
     data using 3:1:(sprintf('%.3f', $3)) with labels offset 0,1 notitle
"""
    (output / "loss.gnuplot").write_text(script)
    subprocess.run(["gnuplot", output / "loss.gnuplot"], check=True)


def sum_file(output, round_number):
    return output / "sums" / f"round-{round_number}.i64"


def integers(path):
    values = array.array("q")
    with open(path, "rb") as file:
        values.frombytes(file.read())
    return values


def check_sum(output, round_number, survivors):
    """Whether the coordinator's sum equals the sum of what the survivors recorded for themselves."""
    total = integers(sum_file(output, round_number))
    updates = [integers(output / "sites" / site / "updates" / f"round-{round_number}.i64")
               for site in survivors]
    expected = [sum(words) for words in zip(*updates)]
    return {"round": round_number, "survivors": survivors, "words": len(total),
            "equal": len(total) > 0 and list(total) == expected}


if __name__ == "__main__":
    import sys
    print(table(json.load(open(sys.argv[1], encoding="utf-8"))))
