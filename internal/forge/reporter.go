package forge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"github.com/lanyard-io/lanyard/internal/remedy"
)

// Answer is what merging a pull request would do.
type Answer struct {
	Touches     bool   // it changes something that lanyard reads
	Body        string // Markdown; without what changes by itself, such as an age
	State       State
	Description string
}

// Differ says what merging a pull request would do. It reads it from Git, by its Ref,
// and must not trust it. An error is told in the log alone: what is wrong with the pull
// request belongs into an answer.
type Differ func(context.Context, Pull) (Answer, error)

// Options are what a [Reporter] is made of. Host, Diff, Stamp, Name and Base are
// required.
type Options struct {
	Host Host
	Diff Differ
	// Stamp says what answers depend on besides the heads, such as the accepted commit.
	// Empty means that nothing can be said yet.
	Stamp func() string
	Name  string // of the comment and the status; another for each cluster
	Base  string // the branch that is watched
	Forks bool   // whether heads in other repositories are answered

	Interval time.Duration // between two looks; a minute
	Every    time.Duration // between two answers to a head that did not move, which follow the live world; five minutes
	Spacing  time.Duration // between two writes; a second
	Budget   time.Duration // of one look; two minutes
	MostSeen int           // pull requests that are seen in a look; 500
	Most     int           // that are answered in a look; 50

	Now func() time.Time
	Log *slog.Logger
	Saw func(what What, result Result) // told of each thing that was to be shown
}

// What is what a pull request is shown by.
type What string

// Result is what became of it.
type Result string

// The closed lists of both, which are labels of a metric.
const (
	CommentShown What = "comment"
	StatusShown  What = "status"

	Created Result = "created"
	Edited  Result = "edited"
	Deleted Result = "deleted" // a second comment
	Same    Result = "same"    // it stood there already
	Failed  Result = "failed"
)

// Whats and Results return the closed lists.
func Whats() []What { return []What{CommentShown, StatusShown} }

// Results returns the closed list.
func Results() []Result { return []Result{Created, Edited, Deleted, Same, Failed} }

// The back-off after errors that may pass, and after so many in one look it ends.
const (
	firstBackOff = 30 * time.Second
	lastBackOff  = 15 * time.Minute
	mostErrors   = 3
	leastBetween = time.Second // looks, however often it is woken
)

// Reporter keeps the reports. Make one with [New]. Its methods are for one goroutine.
type Reporter struct {
	opts    Options
	seen    map[int]*memory
	failed  int       // looks in a row
	rest    time.Time // nothing is asked before
	written time.Time
	told    string    // the last trouble that was logged
	behind  bool      // the last look did not get to all that was due
	right   time.Time // the last try that went right
}

// memory is what is known of a pull request. Nothing is lost with it but calls.
type memory struct {
	head  string
	stamp string
	at    time.Time // of the last try
	quiet bool      // nothing was said on it, and there is nothing to say
	tried string    // the head of the last try
	wrong int       // tries in a row that failed in a way that may pass
}

// New returns a reporter.
func New(o Options) *Reporter {
	o.Interval = cmp.Or(o.Interval, time.Minute)
	o.Every = cmp.Or(o.Every, 5*time.Minute)
	o.Spacing = cmp.Or(o.Spacing, time.Second)
	o.Budget = cmp.Or(o.Budget, 2*time.Minute)
	o.MostSeen = cmp.Or(o.MostSeen, 500)
	o.Most = cmp.Or(o.Most, 50)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Saw == nil {
		o.Saw = func(What, Result) {}
	}
	return &Reporter{opts: o, seen: map[int]*memory{}}
}

// Run looks again and again until the context ends: in its interval, and when woken,
// but not while the host has asked for patience.
func (r *Reporter) Run(ctx context.Context, woken <-chan struct{}) {
	for ctx.Err() == nil {
		_ = r.Look(ctx) // told on the log
		now := r.opts.Now()
		least := min(leastBetween, r.opts.Interval)
		next := r.opts.Interval
		if r.behind {
			next = least
		}
		if wait := r.rest.Sub(now); wait > 0 {
			next, least = wait, wait
		}
		if !r.pause(ctx, least, nil) || !r.pause(ctx, next-least, woken) {
			return
		}
	}
}

// pause waits, at most until woken; false if the context ended.
func (r *Reporter) pause(ctx context.Context, d time.Duration, woken <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-woken:
	case <-t.C:
	}
	return true
}

// Look brings what is shown up to date, as far as its budget goes. What it did not get to
// is first in the next.
func (r *Reporter) Look(ctx context.Context) error {
	now := r.opts.Now()
	if now.Before(r.rest) || r.opts.Stamp() == "" {
		return nil
	}
	within, cancel := context.WithTimeout(ctx, r.opts.Budget)
	defer cancel()
	err := r.look(within)
	switch {
	case err == nil:
		if r.told != "" {
			r.opts.Log.Info("pull requests are reported on again")
		}
		r.failed, r.rest, r.told = 0, time.Time{}, ""
		return nil
	case ctx.Err() != nil:
		return err // the daemon ends
	}
	r.failed++
	r.rest = r.opts.Now().Add(backOff(r.failed))
	if asked, is := errors.AsType[*WaitError](err); is {
		r.rest = asked.Until
	}
	if text := err.Error(); text != r.told || r.failed == 1 {
		r.told = text
		r.opts.Log.Warn("not all pull requests are reported on", "err", err, "remedy", remedy.Of(err).String(), "again", r.rest.UTC().Format(time.RFC3339))
	}
	return err
}

// backOff is how long to wait after so many failures in a row.
func backOff(failed int) time.Duration { return min(firstBackOff<<min(failed-1, 10), lastBackOff) }

func (r *Reporter) look(ctx context.Context) error {
	pulls, more, err := r.opts.Host.Pulls(ctx, r.opts.Base, r.opts.MostSeen)
	if err != nil {
		return err
	}
	if more {
		r.opts.Log.Warn("there are more open pull requests than are looked at", "most", r.opts.MostSeen)
	}
	began := time.Now()
	var errs []error
	r.behind = false
	for i, p := range r.due(pulls) {
		// What was begun has the other half of the budget to be done in.
		if i == r.opts.Most || len(errs) == mostErrors || time.Since(began) > r.opts.Budget/2 {
			r.behind = true
			break
		}
		err := r.report(ctx, p)
		if _, wait := errors.AsType[*WaitError](err); wait {
			return err
		}
		switch {
		case err == nil:
			r.right = r.opts.Now()
		case remedy.Of(err) == remedy.Hold: // this one's; the others may go on
			r.opts.Log.Warn("a pull request is not reported on", "pull", p.Number, "head", p.Head, "err", err)
		default:
			errs = append(errs, fmt.Errorf("pull request %d: %w", p.Number, err))
		}
	}
	if len(errs) > 0 && r.opts.Now().Sub(r.right) < 2*r.opts.Every {
		r.failed = 0 // others go right: it is them, and not the way there, so that the rest need not wait long
	}
	return errors.Join(errs...)
}

// due returns the pull requests that want an answer: first those whose head moved, then
// those that waited longest, and at the end those that went wrong, so that they hold
// nobody up; one that goes wrong again and again waits ever longer, unless its head moves.
// What is not open any more is forgotten.
func (r *Reporter) due(pulls []Pull) []Pull {
	now, stamp := r.opts.Now(), r.opts.Stamp()
	open := map[int]bool{}
	var out []Pull
	for _, p := range pulls {
		if p.Fork && !r.opts.Forks {
			continue
		}
		open[p.Number] = true
		m := r.seen[p.Number]
		if m != nil && m.wrong > 0 && m.tried == p.Head && now.Sub(m.at) < backOff(m.wrong) {
			continue
		}
		if m == nil || m.head != p.Head || now.Sub(m.at) >= r.opts.Every || m.stamp != stamp && now.Sub(m.at) >= r.opts.Interval {
			out = append(out, p)
		}
	}
	for number := range r.seen {
		if !open[number] {
			delete(r.seen, number)
		}
	}
	turn := func(p Pull) int {
		switch m := r.seen[p.Number]; {
		case m == nil:
			return 0
		case m.wrong > 0:
			return 2
		case m.head == p.Head:
			return 1
		}
		return 0
	}
	last := func(p Pull) time.Time {
		if m := r.seen[p.Number]; m != nil {
			return m.at
		}
		return time.Time{}
	}
	slices.SortStableFunc(out, func(a, b Pull) int {
		return cmp.Or(cmp.Compare(turn(a), turn(b)), last(a).Compare(last(b)))
	})
	return out
}

// report answers one pull request and shows the answer. What a person must mend is tried
// again when something moves, or in a while.
func (r *Reporter) report(ctx context.Context, p Pull) error {
	m := r.seen[p.Number]
	if m == nil {
		m = &memory{}
		r.seen[p.Number] = m
	}
	stamp := r.opts.Stamp()
	m.at, m.tried = r.opts.Now(), p.Head
	quiet, err := r.show(ctx, p, m.quiet)
	if err != nil && remedy.Of(err) != remedy.Hold {
		m.wrong++
		return err
	}
	m.head, m.stamp, m.quiet, m.wrong = p.Head, stamp, quiet, 0
	return err
}

// show makes the host say what merging would do; it tells whether there is nothing to say
// and nothing was said.
func (r *Reporter) show(ctx context.Context, p Pull, wasQuiet bool) (quiet bool, err error) {
	answer, err := r.diff(ctx, p)
	if err != nil {
		return false, fmt.Errorf("read it: %w", err)
	}
	if !answer.Touches && wasQuiet {
		return true, nil
	}
	said, err := r.comment(ctx, p, answer)
	if err != nil && remedy.Of(err) != remedy.Hold {
		return false, err
	}
	if answer.Touches || said {
		err = errors.Join(r.status(ctx, p, answer), err) // a rate limit before what a person must mend
	}
	return !answer.Touches && !said && err == nil, err
}

// diff turns a panic into an error: whoever may open a pull request must not be able to
// end the daemon by what is in it, now and after each restart.
func (r *Reporter) diff(ctx context.Context, p Pull) (a Answer, err error) {
	defer func() {
		if defect := recover(); defect != nil {
			r.opts.Log.Error("a pull request met a defect of lanyard, please report it", "pull", p.Number, "head", p.Head, "panic", fmt.Sprint(defect), "stack", string(debug.Stack()))
			err = remedy.Mark(remedy.Hold, fmt.Errorf("a defect of lanyard: %v", defect))
		}
	}()
	return r.opts.Diff(ctx, p)
}

// comment makes the one comment say the answer; said tells whether there is one. A pull
// request that touches nothing gets none, but one that is there is put right.
func (r *Reporter) comment(ctx context.Context, p Pull, a Answer) (said bool, err error) {
	defer func() {
		if err != nil {
			r.opts.Saw(CommentShown, Failed)
		}
	}()
	all, err := r.opts.Host.Comments(ctx, p.Number)
	kept, found, others := ours(r.opts.Name, all)
	if err != nil && !(errors.Is(err, ErrCut) && found) {
		return false, err // a second one must not be made because the first was not read
	}
	for _, c := range others {
		if err := r.write(ctx, func() error { return r.opts.Host.Delete(ctx, p.Number, c.ID) }); err != nil {
			return found, err
		}
		r.shown(p, CommentShown, Deleted)
	}
	body := compose(r.opts.Name, a.Body)
	switch {
	case !found && !a.Touches:
		return false, nil
	case found && same(kept.Body, body):
		r.opts.Saw(CommentShown, Same)
		return true, nil
	}
	result := Created
	if found {
		result = Edited
	}
	if err := r.write(ctx, func() error { return r.opts.Host.Write(ctx, p.Number, kept.ID, body) }); err != nil {
		return found, err
	}
	r.shown(p, CommentShown, result)
	return true, nil
}

// status makes the head's newest status under the name say the answer.
func (r *Reporter) status(ctx context.Context, p Pull, a Answer) (err error) {
	defer func() {
		if err != nil {
			r.opts.Saw(StatusShown, Failed)
		}
	}()
	want := Status{State: a.State, Description: describe(a.Description), Mine: true}
	is, there, err := r.opts.Host.Status(ctx, p.Head, r.opts.Name)
	if err != nil {
		return err
	}
	if there && is == want {
		r.opts.Saw(StatusShown, Same)
		return nil
	}
	if err := r.write(ctx, func() error { return r.opts.Host.SetStatus(ctx, p.Head, r.opts.Name, want) }); err != nil {
		return err
	}
	r.shown(p, StatusShown, Created)
	return nil
}

// write waits its turn: hosts ask for a second between two writes.
// Source: https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#pause-between-mutative-requests
func (r *Reporter) write(ctx context.Context, do func() error) error {
	if wait := time.Until(r.written.Add(r.opts.Spacing)); wait > 0 && !r.pause(ctx, wait, nil) {
		return remedy.Mark(remedy.Retry, context.Cause(ctx))
	}
	defer func() { r.written = time.Now() }()
	return do()
}

func (r *Reporter) shown(p Pull, what What, result Result) {
	r.opts.Saw(what, result)
	r.opts.Log.Info("pull request", "pull", p.Number, "head", p.Head, "what", string(what), "result", string(result))
}
