package observe

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/lanyard-io/lanyard/sync/live"
)

// Limits bound how fast and how long an [Observer] asks. Zero values mean the defaults.
type Limits struct {
	EKS         rate.Limit    // calls a second to EKS; 20
	IAM         rate.Limit    // calls a second to each account's IAM; 10. All tools of an account share IAM's quota
	Burst       int           // calls that need not wait; 50
	Concurrency int           // calls at a time; 8
	Call        time.Duration // for one call, the SDK's retries included; 30 s
	Reach       time.Duration // for the API server's first answer; 5 s
	Sync        time.Duration // for the first list of each Kubernetes resource; 30 s
	Stale       time.Duration // for a watch to come back before what it showed counts as unread; 30 s
}

func (l Limits) withDefaults() Limits {
	pick := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	if l.EKS <= 0 {
		l.EKS = 20
	}
	if l.IAM <= 0 {
		l.IAM = 10
	}
	if l.Burst <= 0 {
		l.Burst = 50
	}
	if l.Concurrency <= 0 {
		l.Concurrency = 8
	}
	pick(&l.Call, 30*time.Second)
	pick(&l.Reach, 5*time.Second)
	pick(&l.Sync, 30*time.Second)
	pick(&l.Stale, 30*time.Second)
	return l
}

// line is the way to one service in one account: a token bucket and a time limit in
// front of every call.
type line struct {
	bucket *rate.Limiter
	limit  time.Duration
	waited func(time.Duration) // told how long a call waited for a token; nil tells nobody

	mu  sync.Mutex
	low float64 // tokens that were left when fewest were, since somebody asked
}

func newLine(perSecond rate.Limit, l Limits, waited func(time.Duration)) *line {
	return &line{bucket: rate.NewLimiter(perSecond, l.Burst), limit: l.Call, waited: waited, low: float64(l.Burst)}
}

// wait waits for a token.
func (l *line) wait(ctx context.Context) error {
	start := time.Now()
	err := l.bucket.Wait(ctx)
	if l.waited != nil {
		l.waited(time.Since(start))
	}
	l.mu.Lock()
	l.low = min(l.low, l.left())
	l.mu.Unlock()
	return err
}

// left returns how many calls may go out now without waiting. A bucket without a rate
// does not count its tokens.
func (l *line) left() float64 {
	if l.bucket.Limit() == rate.Inf {
		return float64(l.bucket.Burst())
	}
	return max(0, l.bucket.Tokens())
}

// budget returns how many calls might still have gone out at once when that was least,
// since it was asked for last.
func (l *line) budget() Budget {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := Budget{Left: l.low, Limit: float64(l.bucket.Burst())}
	l.low = l.left()
	return b
}

// Budget is what a rate limit allows at once, and what of it was left at the lowest moment.
type Budget struct{ Left, Limit float64 }

// The services that an [Observer] asks under a rate limit of its own.
const (
	serviceEKS = "eks"
	serviceIAM = "iam"
	serviceSTS = "sts"
)

// Budgets returns what was left of the rate limits since it was last called, by
// service: of IAM that of the account of which least was left.
func (o *Observer) Budgets() map[string]Budget {
	out := map[string]Budget{serviceEKS: o.eks.budget(), serviceSTS: o.sts.budget()}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, a := range o.accounts {
		b := a.line.budget()
		if now, met := out[serviceIAM]; !met || b.Left < now.Left {
			out[serviceIAM] = b
		}
	}
	return out
}

// waits returns who is told how long calls to a service waited.
func (o Options) waits(service string) func(time.Duration) {
	if o.Waited == nil {
		return nil
	}
	return func(d time.Duration) { o.Waited(service, d) }
}

// ask makes one call of an SDK client.
func ask[In, Out, Opt any](ctx context.Context, l *line, call func(context.Context, *In, ...func(*Opt)) (*Out, error), in *In) (*Out, error) {
	if err := l.wait(ctx); err != nil {
		if ctx.Err() == nil {
			err = errBudget{err}
		}
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, l.limit)
	defer cancel()
	return call(ctx, in)
}

// maxPages bounds a list that never ends.
const maxPages = 1000

// pages reads a list to its end. It returns what came, how many pages that was, and
// the error that ended it early.
func pages[T any](next func(token *string) (items []T, more *string, err error)) (all []T, came int, err error) {
	var token *string
	for came < maxPages {
		items, more, err := next(token)
		if err != nil {
			return all, came, err
		}
		all = append(all, items...)
		came++
		if more == nil || *more == "" {
			return all, came, nil
		}
		if token != nil && *token == *more {
			return all, came, errors.New("the service handed out the same page token twice")
		}
		token = more
	}
	return all, came, fmt.Errorf("more than %d pages", maxPages)
}

// giveUp is how many refusals in a row, without an answer in between, end a series of
// calls: the others would be refused too, and to go on asking is a burden on a
// service that has just said no.
const giveUp = 5

// each calls do for every item, several at a time, and returns the errors by index.
// After a run of refusals the items that are left get the last error.
func each[T any](width int, items []T, do func(T) error) []error {
	errs := make([]error, len(items))
	var (
		mu     sync.Mutex
		next   int
		streak int
		last   error
	)
	take := func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		for ; next < len(items); next++ {
			if streak < giveUp {
				next++
				return next - 1, true
			}
			errs[next] = last
		}
		return 0, false
	}
	record := func(i int, err error) {
		mu.Lock()
		defer mu.Unlock()
		errs[i] = err
		if err == nil {
			streak = 0
			return
		}
		if reason, _ := classify(err); reason == live.GapRefused || reason == live.GapThrottled {
			streak, last = streak+1, err
		}
	}
	var group sync.WaitGroup
	for range min(width, len(items)) {
		group.Go(func() {
			for i, ok := take(); ok; i, ok = take() {
				record(i, do(items[i]))
			}
		})
	}
	group.Wait()
	return errs
}
