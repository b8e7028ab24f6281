"""How the pictures of memory, suite and curve look.  Needs matplotlib."""

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plot  # noqa: E402

# Text stays text in an SVG, and the same figures give the same file.
matplotlib.rcParams["svg.fonttype"] = "none"
matplotlib.rcParams["svg.hashsalt"] = "xalloc"

# An allocator has the same colour in every picture; told apart by the colour-blind too.
COLOURS = {
    "xalloc": "#000000",
    "glibc": "#e69f00",
    "jemalloc": "#d55e00",
    "mimalloc": "#0072b2",
    "tcmalloc": "#009e73",
}
FURTHER_COLOURS = ("#cc79a7", "#56b4e9", "#999999", "#8c564b")


def colours_of(names):
    names = list(dict.fromkeys(names))
    others = [name for name in names if name not in COLOURS]
    further = {
        name: FURTHER_COLOURS[i % len(FURTHER_COLOURS)] for i, name in enumerate(others)
    }
    return {name: COLOURS.get(name) or further[name] for name in names}


def plain(axes):
    """A light grid, and no frame on two sides."""
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=8)


def legend(figure, colours, **line):
    handles = [plot.Line2D([], [], color=colour, label=name,
                           **{"linewidth": 1.8 if name == "xalloc" else 1.1, **line})
               for name, colour in colours.items()]
    figure.legend(handles=handles, loc="upper center", ncols=len(handles), frameon=False,
                  fontsize=9)


def save(figure, path):
    metadata = {"Date": None} if path.endswith(".svg") else None
    figure.savefig(path, dpi=130, metadata=metadata)
