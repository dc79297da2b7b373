/* The rule by which each engine of the `ann` measurement gets its effort, ours and the bare ones alike: the least of the list that reaches the recall
   on every other query. It is judged on those between. */
#ifndef BENCH_ANN_EFFORT_H
#define BENCH_ANN_EFFORT_H

static const double ann_recall = 0.97;

/* How many rows a walk keeps (ef), at least the ten that are asked for; 0 ends the list. */
static const int ann_efforts[] = {10, 12, 14, 16, 18, 20, 22, 24, 28, 32, 36, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 0};

/* The first query of each kind; they alternate. */
enum ann_queries { ANN_TUNING, ANN_JUDGED, ANN_STEP };

#endif
