#!/usr/bin/env python3
"""Times what PyTorch and Triton offer for the cases of the benchmark on a CUDA device, and adds rows to its results.

  peers.py FILE [--case PATTERN]

FILE is what `pit_bench --target cuda --json FILE` wrote; rows have the same members, and `pit_bench --from FILE` shows them
beside the others. Only cases that FILE has are timed; rows of PyTorch that it has of them are replaced. Where there is no
PyTorch, or no CUDA device, nothing is changed.

Times are medians of replays of CUDA graphs, or of eager calls where a system waits for the host, on random data of the
same distribution, in turn on so many sets of them that together they use four times as much as the L2 cache holds. A peer's
conversion of formats is its index time. A ratio is one of medians, for pit was timed before and not in turn; the rows say
so. Some elements of each result are compared with float64 arithmetic. What a system cannot run has a row that says so.

Exit status: 0 rows were appended, 1 something failed, 2 the command line is wrong, 77 there is no PyTorch or no device.
"""
import argparse
import fnmatch
import json
import os
import shlex
import sys

NOTE = 'ratio of medians'
# Of the largest magnitude: products of bfloat16 that are rounded to it once or twice are well within.
ALLOWED_ERROR = 2**-6
MOST_SETS, MOST_BYTES = 64, 16 << 30


def write(path, results):
    """As the benchmark writes it: one row a line."""
    with open(path, 'w') as out:
        out.write('{"machine": [\n' + ',\n'.join(json.dumps(r) for r in results['machine']) + '\n],\n"rows": [\n' +
                  ',\n'.join(json.dumps(r) for r in results['rows']) + '\n]}\n')


def new_row(like, system):
    """A row of `system` for the case of the row `like`."""
    kept = ('case', 'type', 'micro', 'threads', 'device', 'sparsity', 'density', 'fill')
    row = {key: (value if key in kept else None) for key, value in like.items()}
    row.update(system=system, rounds=0)
    return row


def sets_past_cache(used, held, cache):
    """As many data sets as use four times as much as the cache holds; `used`: bytes that a run reads and writes, `held`:
    bytes that a set takes."""
    return max(1, min(-(-4 * cache // used), MOST_SETS, MOST_BYTES // max(used, held)))


def compared(row, with_row):
    """Writes into `row` how many times as long as its own time that of `with_row` is."""
    row.update(vs=with_row['system'], note=NOTE)
    row['ratio'] = with_row['total_us'] / row['total_us']
    row['best_ratio'] = with_row['best_us'] / row['best_us']


def relative_error(got, expected):
    """Of a tensor and what float64 arithmetic gives."""
    return ((got.double() - expected).abs().max() / expected.abs().max()).item()


def add_row(rows, like, row):
    """Puts `row` behind those of its case, and behind those of the system of `like`, with which it is compared, one that
    compares them the other way."""

    def insert(new, key):
        rows.insert(max(i for i, r in enumerate(rows) if key(r) == key(like)) + 1, new)

    insert(row, lambda r: r['case'])
    if row['total_us'] is None or like['total_us'] is None:
        return
    compared(row, like)
    other = dict(like)
    compared(other, row)
    insert(other, lambda r: (r['case'], r['system']))


class Bench:
    """Times functions on the device and adds their rows."""

    def __init__(self, torch, results):
        self.torch, self.results = torch, results
        self.device = torch.device('cuda')
        self.failed = 0

    def sets(self, used, held=0):
        return sets_past_cache(used, held, self.torch.cuda.get_device_properties(self.device).L2_cache_size)

    def some_of(self, count, all):
        """Some of the numbers below `all`."""
        return self.torch.randint(all, (count,), device=self.device)

    def random(self, *shape, scale=1.0):
        return self.torch.randn(*shape, device=self.device, dtype=self.torch.bfloat16) * scale

    def recorded(self, run):
        """A replay of `run`."""
        torch = self.torch
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            run()
        return graph.replay

    def times(self, runs, waits, rounds=15):
        """Microseconds of one of `runs`, which do the same on data of their own; `waits`: for the host, so that they
        cannot be recorded. (PyTorch's random numbers are of no use behind a recording that failed.)"""
        torch = self.torch

        def all_of_them():
            for run in runs:
                run()

        for _ in range(2):
            all_of_them()
        torch.cuda.synchronize()
        replay = all_of_them if waits else self.recorded(all_of_them)
        microseconds = []
        for _ in range(rounds):
            begin, end = torch.cuda.Event(True), torch.cuda.Event(True)
            replay()  # the device is busy while the host enqueues what is timed
            begin.record()
            replay()
            end.record()
            end.synchronize()
            microseconds.append(1000 * begin.elapsed_time(end) / len(runs))
        return sorted(microseconds)

    def measure(self, like, system, make, sets=1, waits=False):
        """`make` returns what is timed on new data, what converts them beforehand, waiting for the host, or None, and what
        makes of a result its error beside float64 arithmetic. `waits`: what is timed waits for the host, too."""
        torch = self.torch
        row = new_row(like, system)
        torch.cuda.empty_cache()
        try:
            made = [make() for _ in range(sets)]
            run, _, error_of = made[0]
            error = error_of(run())
            if not error <= ALLOWED_ERROR:
                raise ArithmeticError(f'wrong result: off by {error:.1e} of the largest element')
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            held = torch.cuda.memory_allocated()
            total = self.times([run for run, _, _ in made], waits)
            conversions = [convert for _, convert, _ in made if convert]
            index = self.times(conversions, True)[len(total) // 2] if conversions else 0
            median = total[len(total) // 2]
            row.update(index_us=index, run_us=median, total_us=median + index, best_us=total[0] + index, rel_err=error,
                       workspace_bytes=torch.cuda.max_memory_allocated() - held, rounds=len(total))
            print(f"{row['case']}  {system}  {row['total_us']:.1f} us", flush=True)
        except Exception as error:  # noqa: BLE001: whatever a library of others throws is its row's note
            row['note'] = f'{type(error).__name__}: {str(error)[:160]}'
            self.failed += 1
            print(f"{row['case']}  {system}  {row['note']}", flush=True)
        add_row(self.results['rows'], like, row)


def gather(bench, like):
    """gather/ROWSofALL-nN-kK."""
    torch = bench.torch
    name = like['case'].split('/')[1]
    rows, rest = name.split('of')
    total, n, k = rest.split('-')
    rows, total, n, k = int(rows), int(total), int(n[1:]), int(k[1:])

    def make():
        x, w = bench.random(total, k), bench.random(k, n)
        y = torch.zeros(total, n, device=bench.device, dtype=torch.bfloat16)
        index = torch.randperm(total, device=bench.device)[:rows].sort().values
        some = index[bench.some_of(8, rows)]

        def run():
            return y.index_copy_(0, index, x.index_select(0, index) @ w)

        return run, None, lambda y: relative_error(y[some], x[some].double() @ w.double())

    bench.measure(like, 'PyTorch, index_select + matmul + index_copy', make,
                  sets=bench.sets(2 * (rows * k + k * n + rows * n), 2 * (total * k + k * n + total * n)))


def spmm(bench, like):
    """Blocks: Triton's kernel in PyTorch, with the conversion that new data need."""
    torch = bench.torch
    rows, columns = (int(part) for part in like['micro'].split('x'))
    if rows != columns or rows < 16 or like['type'] != 'bfloat16':
        return
    from torch.sparse._triton_ops import bsr_dense_addmm
    size = 4096

    def make():
        keep = torch.rand(size // rows, size // columns, device=bench.device) >= like['sparsity']
        a = bench.random(size, size) * keep.repeat_interleave(rows, 0).repeat_interleave(columns, 1)
        b, zero = bench.random(size, size), torch.zeros(size, size, device=bench.device, dtype=torch.bfloat16)
        out = torch.empty_like(zero)
        blocks = a.to_sparse_bsr((rows, columns))
        some = bench.some_of(8, size)
        return (lambda: bsr_dense_addmm(zero, blocks, b, beta=0, out=out), lambda: a.to_sparse_bsr((rows, columns)),
                lambda c: relative_error(c[some], a[some].double() @ b.double()))

    bench.measure(like, 'PyTorch BSR (Triton)', make, sets=bench.sets(6 * size * size, 10 * size * size))


# Tokens, experts, slots, channels, hidden channels, SwiGLU or ReLU.
LAYERS = {
    'switch-base-64': (4096, 64, 1, 768, 3072, False),
    'switch-base-128': (4096, 128, 1, 768, 3072, False),
    'switch-base-256': (4096, 256, 1, 768, 3072, False),
    'mixtral-8x7b': (8192, 8, 2, 4096, 14336, True),
    'qwen3-30b-a3b': (32768, 128, 8, 2048, 768, True),
    'deepseek-v3': (16384, 256, 8, 7168, 2048, True),
}


def moe(bench, like):
    """Sort by expert, gather, two grouped products, weighted sum."""
    torch = bench.torch
    tokens, experts, slots, channels, hidden, gated = LAYERS[like['case'].split('/')[1]]

    def make():
        x = bench.random(tokens, channels)
        up = bench.random(experts, channels, (2 if gated else 1) * hidden, scale=0.02)
        down = bench.random(experts, hidden, channels, scale=0.02)
        weight, chosen = torch.topk(torch.softmax(torch.randn(tokens, experts, device=bench.device), -1), slots, -1)

        def activation(h):
            if not gated:
                return torch.relu(h)
            return torch.nn.functional.silu(h[..., :hidden]) * h[..., hidden:]

        def run():
            flat = chosen.reshape(-1)
            order = torch.argsort(flat, stable=True)
            token = order // slots
            counts = torch.zeros(experts, device=bench.device, dtype=torch.int64).scatter_add_(0, flat, torch.ones_like(flat))
            ends = torch.cumsum(counts, 0).to(torch.int32)
            h = activation(torch._grouped_mm(x[token], up, offs=ends))
            y = torch._grouped_mm(h, down, offs=ends)
            out = torch.zeros(tokens, channels, device=bench.device)
            return out.index_add_(0, token, y.float() * weight.reshape(-1)[order, None])

        def error_of(out):
            some = bench.some_of(4, tokens)
            expected = torch.zeros(len(some), channels, device=bench.device, dtype=torch.float64)
            for i, t in enumerate(some):
                for s in range(slots):
                    e = chosen[t, s]
                    h = activation(x[t].double() @ up[e].double())
                    expected[i] += weight[t, s].double() * (h @ down[e].double())
            return relative_error(out[some], expected)

        return run, None, error_of

    bench.measure(like, 'PyTorch grouped_mm', make)


def index(bench, like):
    torch = bench.torch
    rows, columns = (int(part) for part in like['micro'].split('x'))
    size = 16384

    def make():
        keep = torch.rand(size // rows, size // columns, device=bench.device) >= like['sparsity']
        a = bench.random(size, size) * keep.repeat_interleave(rows, 0).repeat_interleave(columns, 1)
        blocks = a.view(size // rows, rows, size // columns, columns)

        def error_of(listed):
            mark = torch.zeros(size // rows, size // columns, device=bench.device, dtype=torch.bool)
            mark[listed[:, 0], listed[:, 1]] = True
            right = torch.equal(mark, blocks.abs().amax((1, 3)) > 0) and len(listed) == int(mark.sum())
            return 0.0 if right else 1.0

        return lambda: torch.nonzero((blocks != 0).any(3).any(1)), None, error_of

    bench.measure(like, 'PyTorch any + nonzero', make, waits=True)


def attention(bench, like):
    """attention/HEADSxPOSITIONSxCHANNELS-blockBLOCK: FlexAttention with the blocks' lists made before, and all pairs."""
    torch = bench.torch
    name, block = like['case'].split('/')[1].split('-block')
    heads, positions, channels = (int(part) for part in name.split('x'))
    block = int(block)

    def tensors():
        return (bench.random(1, heads, positions, channels) for _ in range(3))

    def blocks_seen():
        blocks = positions // block
        keep = torch.rand(1, heads, blocks, blocks, device=bench.device) >= like['sparsity']
        each = torch.arange(blocks, device=bench.device)
        keep[..., each, each] = True
        counts = keep.sum(-1).to(torch.int32)
        lists = torch.argsort(keep.to(torch.int8), dim=-1, descending=True, stable=True).to(torch.int32)
        return keep, counts, lists

    def error_of(q, k, v, keep):
        """`keep`: the blocks seen, or None: all of them."""

        def error(out):
            got, expected = [], []
            for h, i in ((0, 0), (heads // 2, positions // 3), (heads - 1, positions - 1)):
                score = k[0, h].double() @ q[0, h, i].double() / channels**0.5
                if keep is not None:
                    score[~keep[0, h, i // block].repeat_interleave(block)] = float('-inf')
                expected.append(torch.softmax(score, 0) @ v[0, h].double())
                got.append(out[0, h, i])
            return relative_error(torch.stack(got), torch.stack(expected))

        return error

    def make():
        from torch.nn.attention.flex_attention import BlockMask, flex_attention
        q, k, v = tensors()
        keep, counts, lists = blocks_seen()
        seen = BlockMask.from_kv_blocks(torch.zeros_like(counts), torch.zeros_like(lists), counts, lists, BLOCK_SIZE=block)
        flex = torch.compile(flex_attention)
        return lambda: flex(q, k, v, block_mask=seen), None, error_of(q, k, v, keep)

    def make_dense():
        q, k, v = tensors()
        return lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v), None, error_of(q, k, v, None)

    bench.measure(like, 'PyTorch FlexAttention, lists given', make)
    bench.measure(like, 'PyTorch attention to all', make_dense)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('file')
    parser.add_argument('--case', default='*')
    arguments = parser.parse_args()
    try:
        with open(arguments.file) as source:
            results = json.load(source)
        rows = results['rows']
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f'peers.py: {arguments.file} is not what pit_bench --json writes: {error}', file=sys.stderr)
        return 1
    try:
        import torch
    except ImportError:
        print('peers.py: there is no PyTorch here: nothing to append', file=sys.stderr)
        return 77
    if not torch.cuda.is_available():
        print('peers.py: there is no CUDA device here: nothing to append', file=sys.stderr)
        return 77

    groups = {'gather': gather, 'spmm': spmm, 'moe': moe, 'index': index, 'attention': attention}

    def is_chosen(row):
        return (row.get('device') and row['case'].split('/')[0] in groups and
                fnmatch.fnmatchcase(row['case'], arguments.case))

    rows[:] = [row for row in rows
               if not (is_chosen(row) and any((row[key] or '').startswith('PyTorch') for key in ('system', 'vs')))]
    bench = Bench(torch, results)
    seen = set()
    for like in filter(is_chosen, list(rows)):
        if like['case'] not in seen:
            seen.add(like['case'])
            groups[like['case'].split('/')[0]](bench, like)
    command = {'what': 'command', 'value': shlex.join([os.path.basename(sys.argv[0]), *sys.argv[1:]])}
    version = {'what': 'PyTorch', 'value': torch.__version__}
    machine = [entry for entry in results['machine'] if entry not in (command, version)]
    commands = [entry for entry in machine if entry['what'] == 'command'] + [command]
    results['machine'] = commands + [entry for entry in machine if entry['what'] != 'command'] + [version]
    write(arguments.file, results)
    return 1 if bench.failed else 0


if __name__ == '__main__':
    sys.exit(main())
