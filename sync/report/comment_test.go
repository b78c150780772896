package report_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lanyard-io/lanyard/sync/report"
)

// TestPick: what is urgent comes first to its room and stands where it stood; what is too
// long makes room for others, and all that is not there is counted.
func TestPick(t *testing.T) {
	t.Parallel()
	pieces := []string{"aa", "bbbb", "c", "dd"}
	for _, test := range []struct {
		name    string
		room    int
		urgency []int
		want    string
		left    int
	}{
		{"all", 11, nil, "H:aabbbbcdd", 0},
		{"one byte too few", 10, nil, "H:aabbbbc", 1},
		{"what is too long is left out", 7, nil, "H:aacdd", 1},
		{"the urgent one first", 6, []int{1, 0, 1, 1}, "H:bbbb", 3},
		{"in their places", 8, []int{1, 1, 0, 0}, "H:aacdd", 1},
		{"nothing", 2, nil, "", 4},
	} {
		var urgency func(int) int
		if test.urgency != nil {
			urgency = func(i int) int { return test.urgency[i] }
		}
		got, left := report.Pick(test.room, "H:", report.InOrder(len(pieces), urgency), func(i int) string { return pieces[i] })
		if got != test.want || left != test.left {
			t.Errorf("%s: %q and %d left out, want %q and %d", test.name, got, left, test.want, test.left)
		}
	}
	tried := 0
	if _, left := report.Pick(1, "", report.InOrder(5000, nil), func(int) string { tried++; return "long" }); left != 5000 || tried > 100 {
		t.Errorf("%d left out after %d were tried, want 5000 and a few", left, tried)
	}
}

// TestComment: a comment is never longer than its limit, however its room is shared, and
// its last line counts what is not there.
func TestComment(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		rows, folds int
		long        int // bytes of a fold
	}{{0, 0, 0}, {3, 3, 50}, {5000, 0, 0}, {1, 5000, 400}, {5000, 5000, 400}, {5000, 3, 400}, {5000, 5000, 30_000}, {3, 3, 100_000}} {
		rows := [][]string{{"NAME", "WHY"}}
		for n := range test.rows {
			rows = append(rows, []string{fmt.Sprintf("row-%04d", n), "why"})
		}
		const limit = 20_000
		c := report.NewComment(limit, "# head\n\n")
		c.Last("the tail\n")
		c.Table(rows, report.InOrder(test.rows, nil), report.InOrder(test.folds, nil), func(i int) string {
			return fmt.Sprintf("fold-%04d%s\n", i, strings.Repeat(".", test.long))
		}, "fold")
		got := c.End("Look elsewhere.")
		row, fold := strings.Count(got, "| row-"), strings.Count(got, "fold-")
		var lost []string
		if n := test.rows - row; n > 0 {
			lost = append(lost, fmt.Sprintf("%d table rows", n))
		}
		if n := test.folds - fold; n > 0 {
			lost = append(lost, fmt.Sprintf("%d folds", n))
		}
		end := "the tail\n"
		if len(lost) > 0 {
			end += "\n**Left out here**, because a comment has room for no more: " + strings.Join(lost, ", ") + ". Look elsewhere.\n"
		}
		if !strings.HasSuffix(got, end) || !strings.HasPrefix(got, "# head\n\n| name | why |\n|---|---|\n") {
			t.Errorf("%+v: begins with %q, ends with %q, want %q", test, got[:30], got[max(0, len(got)-200):], end)
		}
		if len(got) > limit || len(lost) > 0 && test.long < 1000 && len(got) < limit-commentSlack {
			t.Errorf("%+v: %d bytes of %d, with %s left out", test, len(got), limit, lost)
		}
		if fits := test.rows*20 + test.folds*(test.long+12); fits < limit-1000 && len(lost) > 0 {
			t.Errorf("%+v: %s left out, and there is room", test, lost)
		}
	}
}

// commentSlack is what may stay empty of a comment that leaves something out: room for its
// last line, and for less than one more fold.
const commentSlack = 1000
