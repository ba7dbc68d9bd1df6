/* Sparse indices from marks and from keys.
 *
 * Both work on strips: pieces of the candidates that have one size whatever the groups' lengths, so
 * that few long groups run in parallel as well as many short ones. Strips are counted in parallel,
 * a short serial pass over the strips turns counts into places, and strips are then placed in
 * parallel. The result does not depend on the threads. */
#include <stdbool.h>
#include <string.h>

#include "call.h"
#include "wide_marks.h"

static const int64_t kStripMarks = 64 << 10;
static const int64_t kStripKeys = 16 << 10;
static const int64_t kGroupsPerBlock = 1 << 10;

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t round_up(int64_t n, int64_t align) { return (n + align - 1) / align * align; }

static int64_t report_capacity(pit_call *call, const char *index_name, int64_t needed,
                               int64_t capacity) {
  int64_t values[2] = {needed, capacity};
  pit_report_index(call, index_name, PIT_ERROR_CAPACITY, values, 2);
  return -1;
}

/* --- marks --- */

/* What the passes know of a strip of candidates. A group that goes on in later strips stays open;
 * the first strip in which another group starts closes it. Candidates before the strip's first
 * group are its head. */
typedef struct strip {
  int64_t begin, end;              /* candidates */
  int64_t first_group, last_group; /* groups that start in it: first <= g < last */
  int64_t head;                    /* kept candidates of the head */
  int64_t whole;                   /* entries, with padding, of its groups but the last */
  int64_t last; /* kept candidates of its last group, as far as it lies in the strip */
  /* Set by the serial pass. */
  int64_t carry;       /* kept candidates of the open group before the strip */
  int64_t head_entry;  /* where the head goes */
  int64_t first_entry; /* where its first group starts: the end, with padding, of the open group */
  int64_t end_entry;   /* where the next strip's head goes */
} strip;

typedef struct placing {
  const uint8_t *marks;
  const int64_t *mark_offsets, *first;
  int64_t groups, length, micro, align;
  int32_t *offsets, *counts, *coordinates, *position;
  uint8_t *full;
  bool wide;                     /* the CPU has wide vectors */
  int64_t strips, origin, total; /* candidates are origin <= c < total */
  strip *strip;
} placing;

static const uint64_t kKeptBits = UINT64_C(0x0101010101010101);

static uint64_t load_word(const uint8_t *marks) {
  uint64_t word;
  memcpy(&word, marks, sizeof word);
  return word;
}

static int64_t count_kept(const placing *p, int64_t begin, int64_t end) {
  const uint8_t *marks = p->marks + begin;
  int64_t n = end - begin, total = 0, i = 0;
  if (p->wide) return pit_count_wide(marks, n);
  while (n - i >= 8) {
    /* Up to 255 words fit byte-wise sums. */
    int64_t words = smaller((n - i) / 8, 255);
    uint64_t sums = 0;
    for (int64_t w = 0; w < words; ++w) sums += load_word(marks + i + 8 * w) & kKeptBits;
    i += 8 * words;
    uint64_t pairs =
        (sums & UINT64_C(0x00ff00ff00ff00ff)) + (sums >> 8 & UINT64_C(0x00ff00ff00ff00ff));
    total += (int64_t)(pairs * UINT64_C(0x0001000100010001) >> 48);
  }
  for (; i < n; ++i) total += marks[i] & 1;
  return total;
}

static int64_t group_start(const placing *p, int64_t g) {
  return p->mark_offsets ? p->mark_offsets[g] : g * p->length;
}

/* The first group that starts at candidate c or later. */
static int64_t first_group_from(const placing *p, int64_t c) {
  if (!p->mark_offsets) {
    return p->length > 0 ? smaller((c + p->length - 1) / p->length, p->groups) : 0;
  }
  int64_t low = 0, high = p->groups;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (p->mark_offsets[middle] < c) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

static void count_strip(void *closure, int64_t i) {
  const placing *p = closure;
  strip *s = &p->strip[i];
  *s = (strip){.begin = p->origin + i * kStripMarks};
  s->end = smaller(s->begin + kStripMarks, p->total);
  s->first_group = i == 0 ? 0 : first_group_from(p, s->begin);
  s->last_group = i == p->strips - 1 ? p->groups : first_group_from(p, s->end);
  if (s->first_group == s->last_group) {
    s->head = count_kept(p, s->begin, s->end);
    return;
  }
  int64_t start = group_start(p, s->first_group);
  int64_t last = group_start(p, s->last_group - 1);
  s->head = count_kept(p, s->begin, start);
  s->last = count_kept(p, last, s->end);
  if (p->align == 1) {
    s->whole = count_kept(p, start, last);
    return;
  }
  for (int64_t g = s->first_group; g < s->last_group - 1; ++g) {
    int64_t end = group_start(p, g + 1);
    s->whole += round_up(count_kept(p, start, end), p->align);
    start = end;
  }
}

/* Turns the strips' counts into places. Returns the entries of all groups. */
static int64_t arrange(placing *p) {
  int64_t open = 0, open_entry = 0; /* of the open group: kept so far, and its first entry */
  for (int64_t i = 0; i < p->strips; ++i) {
    strip *s = &p->strip[i];
    s->carry = open;
    s->head_entry = open_entry + open;
    open += s->head;
    s->first_entry = open_entry + round_up(open, p->align);
    if (s->first_group < s->last_group) {
      open_entry = s->first_entry + s->whole;
      open = s->last;
    }
    s->end_entry = open_entry + open;
  }
  return open_entry + round_up(open, p->align);
}

/* The low bits of n <= 64 marks: bit k is that of marks[k]. */
static uint64_t kept_bits(const uint8_t *marks, int n) {
  uint64_t bits = 0;
  int k = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  /* The factor moves bit 0 of byte j to bit 56 + j. */
  for (; k + 8 <= n; k += 8) {
    bits |= ((load_word(marks + k) & kKeptBits) * UINT64_C(0x0102040810204080) >> 56) << k;
  }
#endif
  for (; k < n; ++k) bits |= (uint64_t)(marks[k] & 1) << k;
  return bits;
}

/* Places n <= 64 candidates from entry e on; returns the entry after them. The loop runs over kept
 * candidates alone: its end is the one branch in 64 marks that cannot be foreseen. */
static inline __attribute__((always_inline)) int64_t place_block(const placing *p, int64_t begin,
                                                                 int n, int64_t coordinate,
                                                                 int64_t e, bool coordinates,
                                                                 bool full, bool position) {
  uint64_t bits = n == 64 ? kept_bits(p->marks + begin, 64) : kept_bits(p->marks + begin, n);
  if (position) memset(p->position + begin, 0xff, (size_t)n * sizeof *p->position);
  if (bits == ~UINT64_C(0) && coordinates && !full && !position) {
    for (int k = 0; k < 64; ++k) p->coordinates[e + k] = (int32_t)(coordinate + k * p->micro);
    return e + 64;
  }
  for (; bits; bits &= bits - 1) {
    int k = __builtin_ctzll(bits);
    if (coordinates) p->coordinates[e] = (int32_t)(coordinate + k * p->micro);
    if (full) p->full[e] = (p->marks[begin + k] & 2) == 0;
    if (position) p->position[begin + k] = (int32_t)e;
    ++e;
  }
  return e;
}

/* Candidates [begin, end) of one group. The flags are constants at the places of call: the loops do
 * not test them. */
static inline __attribute__((always_inline)) int64_t place_range(const placing *p, int64_t begin,
                                                                 int64_t end, int64_t coordinate,
                                                                 int64_t e, bool coordinates,
                                                                 bool full, bool position) {
  int64_t i = begin;
  for (; end - i >= 64; i += 64) {
    e = place_block(p, i, 64, coordinate + (i - begin) * p->micro, e, coordinates, full, position);
  }
  if (i == end) return e;
  return place_block(p, i, (int)(end - i), coordinate + (i - begin) * p->micro, e, coordinates,
                     full, position);
}

/* Candidates [begin, end) of group g, which starts at candidate `start`. Entries up to `last` are
 * those of one strip. */
static int64_t place(const placing *p, int64_t g, int64_t start, int64_t begin, int64_t end,
                     int64_t e, int64_t last) {
  if (begin == end) return e;
  int64_t c = (p->first ? p->first[g] : 0) + (begin - start) * p->micro;
  int wanted = (p->coordinates ? 4 : 0) | (p->full ? 2 : 0) | (p->position ? 1 : 0);
  switch (wanted) {
    case 7:
      return place_range(p, begin, end, c, e, true, true, true);
    case 6:
      return place_range(p, begin, end, c, e, true, true, false);
    case 5:
      return place_range(p, begin, end, c, e, true, false, true);
    case 4:
      if (p->wide) {
        return e + pit_place_wide(p->marks + begin, end - begin, c, p->micro, p->coordinates + e,
                                  last - e);
      }
      return place_range(p, begin, end, c, e, true, false, false);
    case 3:
      return place_range(p, begin, end, c, e, false, true, true);
    case 2:
      return place_range(p, begin, end, c, e, false, true, false);
    case 1:
      return place_range(p, begin, end, c, e, false, false, true);
    default:
      return e + count_kept(p, begin, end);
  }
}

/* Group g is complete: `kept` entries from `entry` on, then padding up to `end`. */
static void close_group(const placing *p, int64_t g, int64_t entry, int64_t kept, int64_t end) {
  if (p->counts) p->counts[g] = (int32_t)kept;
  for (int64_t e = entry + kept; e < end; ++e) {
    if (p->coordinates) p->coordinates[e] = -1;
    if (p->full) p->full[e] = 0;
  }
}

static void place_strip(void *closure, int64_t i) {
  const placing *p = closure;
  const strip *s = &p->strip[i];
  bool starts_group = s->first_group < s->last_group;
  int64_t start = starts_group ? group_start(p, s->first_group) : s->end;
  if (i > 0) {
    int64_t g = s->first_group - 1;
    place(p, g, group_start(p, g), s->begin, start, s->head_entry, s->end_entry);
    if (starts_group)
      close_group(p, g, s->head_entry - s->carry, s->carry + s->head, s->first_entry);
  }
  int64_t entry = s->first_entry;
  for (int64_t g = s->first_group; g < s->last_group; ++g) {
    bool last = g == s->last_group - 1;
    int64_t end = last ? s->end : group_start(p, g + 1);
    if (p->offsets) p->offsets[g] = (int32_t)entry;
    int64_t kept = place(p, g, start, start, end, entry, s->end_entry) - entry;
    if (last) break;
    int64_t next = entry + round_up(kept, p->align);
    close_group(p, g, entry, kept, next);
    entry = next;
    start = end;
  }
}

/* The largest coordinate that may be written. */
static int64_t largest_coordinate(const placing *p) {
  int64_t result = 0;
  if (!p->first && !p->mark_offsets) return (p->length - 1) * p->micro;
  for (int64_t g = 0; g < p->groups; ++g) {
    int64_t length = group_start(p, g + 1) - group_start(p, g);
    if (length > 0) result = larger(result, (p->first ? p->first[g] : 0) + (length - 1) * p->micro);
  }
  return result;
}

int64_t pit_index_place(pit_call *call, const char *index_name, const uint8_t *marks,
                        const int64_t *mark_offsets, const int64_t *first, int64_t groups,
                        int64_t length, int64_t micro, int64_t align, int64_t capacity,
                        int32_t *offsets, int32_t *counts, int32_t *coordinates, int32_t *position,
                        uint8_t *full) {
  if (groups <= 0) {
    if (offsets) offsets[0] = 0;
    return 0;
  }
  placing p = {.marks = marks,
               .mark_offsets = mark_offsets,
               .first = first,
               .groups = groups,
               .length = larger(length, 0),
               .micro = micro,
               .align = align,
               .offsets = offsets,
               .counts = counts,
               .coordinates = coordinates,
               .position = position,
               .full = full,
               .wide = pit_has_wide_marks()};
  p.origin = group_start(&p, 0);
  p.total = group_start(&p, groups);
  p.strips = larger(1, (p.total - p.origin + kStripMarks - 1) / kStripMarks);
  int64_t largest = coordinates ? largest_coordinate(&p) : 0;
  if (largest > INT32_MAX) return report_capacity(call, index_name, largest, INT32_MAX);
  p.strip = pit_workspace(call, p.strips * (int64_t)sizeof *p.strip);
  if (!p.strip) return -1;

  pit_parallel_for(call, p.strips, count_strip, &p);
  int64_t entries = arrange(&p);
  int64_t room = coordinates || full ? smaller(capacity, INT32_MAX) : INT32_MAX;
  if (entries > room) {
    entries = report_capacity(call, index_name, entries, room);
  } else {
    pit_parallel_for(call, p.strips, place_strip, &p);
    /* The last group is closed by no strip. Its first entry is that of the last strip in which a
     * group starts. */
    const strip *s = &p.strip[p.strips - 1];
    int64_t kept = s->first_group < s->last_group ? s->last : s->carry + s->head;
    close_group(&p, groups - 1, s->end_entry - kept, kept, entries);
    if (offsets) offsets[groups] = (int32_t)entries;
  }
  pit_workspace_release(call, p.strip);
  return entries;
}

/* --- keys --- */

typedef struct sorting {
  const int64_t *keys;
  int64_t length, groups, align, strips, strip_length;
  int32_t *places; /* [strip][group]: first counts, then the first entry of the strip's positions,
                      from the group's */
  int32_t *kept;   /* [group] */
  int32_t *starts; /* [group] */
  int64_t *bad;    /* [strip]: the first position whose key is out of range, or -1 */
  int32_t *counts, *coordinates, *position;
} sorting;

static void count_keys(void *closure, int64_t i) {
  const sorting *s = closure;
  int32_t *counts = s->places + i * s->groups;
  memset(counts, 0, (size_t)s->groups * sizeof *counts);
  int64_t end = smaller((i + 1) * s->strip_length, s->length);
  s->bad[i] = -1;
  for (int64_t p = i * s->strip_length; p < end; ++p) {
    int64_t key = s->keys[p];
    if ((uint64_t)key < (uint64_t)s->groups) {
      ++counts[key];
    } else if (key != -1) {
      s->bad[i] = p;
      return;
    }
  }
}

static void sum_groups(void *closure, int64_t block) {
  const sorting *s = closure;
  int64_t begin = block * kGroupsPerBlock, end = smaller(begin + kGroupsPerBlock, s->groups);
  for (int64_t g = begin; g < end; ++g) s->kept[g] = 0;
  for (int64_t i = 0; i < s->strips; ++i) {
    int32_t *places = s->places + i * s->groups;
    for (int64_t g = begin; g < end; ++g) {
      int32_t count = places[g];
      places[g] = s->kept[g];
      s->kept[g] += count;
    }
  }
}

static void place_keys(void *closure, int64_t i) {
  const sorting *s = closure;
  int32_t *places = s->places + i * s->groups;
  for (int64_t g = 0; g < s->groups; ++g) places[g] += s->starts[g];
  int64_t end = smaller((i + 1) * s->strip_length, s->length);
  for (int64_t p = i * s->strip_length; p < end; ++p) {
    int64_t key = s->keys[p];
    int32_t e = key < 0 ? -1 : places[key]++;
    if (s->position) s->position[p] = e;
    if (s->coordinates && e >= 0) s->coordinates[e] = (int32_t)p;
  }
}

static void pad_groups(void *closure, int64_t block) {
  const sorting *s = closure;
  int64_t begin = block * kGroupsPerBlock, end = smaller(begin + kGroupsPerBlock, s->groups);
  for (int64_t g = begin; g < end; ++g) {
    if (s->counts) s->counts[g] = s->kept[g];
    if (!s->coordinates) continue;
    int64_t padded = s->starts[g] + round_up(s->kept[g], s->align);
    for (int64_t e = (int64_t)s->starts[g] + s->kept[g]; e < padded; ++e) s->coordinates[e] = -1;
  }
}

/* The steps of the sort, once its workspace is there. */
static int64_t sort(pit_call *call, const char *index_name, sorting *s, int64_t capacity,
                    int32_t *offsets) {
  int64_t blocks = (s->groups + kGroupsPerBlock - 1) / kGroupsPerBlock;
  pit_parallel_for(call, s->strips, count_keys, s);
  for (int64_t i = 0; i < s->strips; ++i) {
    if (s->bad[i] < 0) continue;
    int64_t values[3] = {s->keys[s->bad[i]], s->bad[i], s->groups};
    pit_report_index(call, index_name, PIT_ERROR_DATA, values, 3);
    return -1;
  }
  pit_parallel_for(call, blocks, sum_groups, s);

  int64_t entries = 0;
  for (int64_t g = 0; g < s->groups; ++g) {
    s->starts[g] = (int32_t)smaller(entries, INT32_MAX);
    entries += round_up(s->kept[g], s->align);
  }
  int64_t room = s->coordinates ? smaller(capacity, INT32_MAX) : INT32_MAX;
  if (entries > room) return report_capacity(call, index_name, entries, room);
  if (offsets) {
    memcpy(offsets, s->starts, (size_t)s->groups * sizeof *offsets);
    offsets[s->groups] = (int32_t)entries;
  }
  if (s->coordinates || s->position) pit_parallel_for(call, s->strips, place_keys, s);
  pit_parallel_for(call, blocks, pad_groups, s);
  return entries;
}

int64_t pit_index_sort(pit_call *call, const char *index_name, const int64_t *keys, int64_t length,
                       int64_t groups, int64_t align, int64_t capacity, int32_t *offsets,
                       int32_t *counts, int32_t *coordinates, int32_t *position) {
  length = larger(length, 0);
  groups = larger(groups, 0);
  if (length > INT32_MAX) return report_capacity(call, index_name, length, INT32_MAX);
  sorting s = {.keys = keys, .length = length, .groups = groups, .align = align};
  s.counts = counts;
  s.coordinates = coordinates;
  s.position = position;
  /* A strip is no shorter than the number of groups: all strips' counts together take no more room
   * than the keys. */
  s.strip_length = larger(kStripKeys, groups);
  s.strips = larger(1, (length + s.strip_length - 1) / s.strip_length);

  int64_t table = round_up(s.strips * groups, 2), row = round_up(groups, 2);
  char *memory = pit_workspace(call, (table + 2 * row) * 4 + s.strips * 8);
  if (!memory) return -1;
  s.places = (int32_t *)(void *)memory;
  s.kept = s.places + table;
  s.starts = s.kept + row;
  s.bad = (int64_t *)(void *)(s.starts + row);
  int64_t entries = sort(call, index_name, &s, capacity, offsets);
  pit_workspace_release(call, memory);
  return entries;
}

void pit_prefix(int64_t *destination, const int64_t *source, int64_t length) {
  int64_t sum = 0;
  destination[0] = 0;
  for (int64_t i = 0; i < length; ++i) {
    sum += larger(source[i], 0);
    destination[i + 1] = sum;
  }
}
