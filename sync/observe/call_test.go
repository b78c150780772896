package observe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/sync/live"
)

func code(c string) error {
	return &smithy.OperationError{ServiceID: "IAM", OperationName: "GetRole", Err: &smithy.GenericAPIError{Code: c, Message: "no"}}
}

func status(s int, err error) error {
	return &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{StatusCode: s}}, Err: err}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err     error
		want    live.GapReason
		message string
	}{
		{code("AccessDenied"), live.GapRefused, "AccessDenied: no"},
		{code("AccessDeniedException"), live.GapRefused, "AccessDeniedException: no"},
		{code("UnauthorizedOperation"), live.GapRefused, "UnauthorizedOperation: no"},
		{code("ExpiredToken"), live.GapRefused, "ExpiredToken: no"},
		{code("ExpiredTokenException"), live.GapRefused, "ExpiredTokenException: no"},
		{code("UnrecognizedClientException"), live.GapRefused, "UnrecognizedClientException: no"},
		{code("Throttling"), live.GapThrottled, "Throttling: no"},
		{code("ThrottlingException"), live.GapThrottled, "ThrottlingException: no"},
		{code("TooManyRequestsException"), live.GapThrottled, "TooManyRequestsException: no"},
		{code("RequestLimitExceeded"), live.GapThrottled, "RequestLimitExceeded: no"},
		{code("LimitExceededException"), live.GapThrottled, "LimitExceededException: no"},
		{code("SlowDown"), live.GapThrottled, "SlowDown: no"},
		{code("ServiceFailure"), live.GapFailed, "ServiceFailure: no"},
		{code("ServerException"), live.GapFailed, "ServerException: no"},
		{status(429, code("Unheard")), live.GapThrottled, "Unheard: no"},
		{status(403, code("Unheard")), live.GapRefused, "Unheard: no"},
		{status(403, code("Throttling")), live.GapThrottled, "Throttling: no"},
		{apierrors.NewUnauthorized("no"), live.GapRefused, "no"},
		{apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no")), live.GapRefused, "pods is forbidden: no"},
		{apierrors.NewTooManyRequests("no", 1), live.GapThrottled, "no"},
		{apierrors.NewServiceUnavailable("no"), live.GapFailed, "no"},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), live.GapFailed, "no answer in time"},
		{fmt.Errorf("x: %w", context.Canceled), live.GapFailed, "the look was cut short"},
		{fmt.Errorf("account 1: %w", ErrUnconfigured), live.GapUnconfigured, ErrUnconfigured.Error()},
		{errBudget{errors.New("x")}, live.GapThrottled, "its turn under lanyard's own rate limit did not come before the look had to end"},
		{errors.New("line 1\n line 2"), live.GapFailed, "line 1 line 2"},
	} {
		if got, message := classify(tt.err); got != tt.want || message != tt.message {
			t.Errorf("classify(%v): got %s %q, want %s %q", tt.err, got, message, tt.want, tt.message)
		}
	}
	if _, message := classify(errors.New(strings.Repeat("x", 1000))); len(message) > 310 {
		t.Errorf("message: got %d bytes, want it bounded", len(message))
	}
	for err, want := range map[error]remedy.Class{code("AccessDenied"): remedy.Hold, code("ResourceNotFoundException"): remedy.Hold, code("Throttling"): remedy.Retry, errors.New("x"): remedy.Retry} {
		if got := remedy.Of(halting("look", err)); got != want {
			t.Errorf("remedy of %v: got %s, want %s", err, got, want)
		}
	}
}

func TestUnassumable(t *testing.T) {
	t.Parallel()
	assume := &smithy.OperationError{ServiceID: "STS", OperationName: "AssumeRole", Err: errors.New("no")}
	for err, want := range map[error]bool{
		assume: true,
		&smithy.OperationError{ServiceID: "IAM", OperationName: "GetRole", Err: fmt.Errorf("get identity: %w", assume)}:     true,
		&smithy.OperationError{ServiceID: "STS", OperationName: "GetCallerIdentity", Err: errors.New("no")}:                 false,
		&smithy.OperationError{ServiceID: "IAM", OperationName: "AssumeRole", Err: errors.New("of another service's name")}: false,
		errors.New("x"): false,
	} {
		if got := unassumable(err); got != want {
			t.Errorf("unassumable(%v): got %t, want %t", err, got, want)
		}
	}
	if unassumable(nil) || missing(nil) {
		t.Error("no error: got one")
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	text := func(s string) *string { return &s }
	script := func(answers ...any) func(*string) ([]int, *string, error) {
		i := 0
		return func(token *string) ([]int, *string, error) {
			a := answers[i]
			i++
			if err, failed := a.(error); failed {
				return nil, nil, err
			}
			more, _ := a.(*string)
			return []int{i}, more, nil
		}
	}
	for _, tt := range []struct {
		name string
		next func(*string) ([]int, *string, error)
		all  []int
		came int
		err  string
	}{
		{"one", script(nil), []int{1}, 1, ""},
		{"three", script(text("a"), text("b"), nil), []int{1, 2, 3}, 3, ""},
		{"an empty token ends it", script(text("a"), text("")), []int{1, 2}, 2, ""},
		{"failed at once", script(errors.New("no")), nil, 0, "no"},
		{"failed later", script(text("a"), errors.New("no")), []int{1}, 1, "no"},
		{"in a circle", script(text("a"), text("a")), []int{1, 2}, 2, "the service handed out the same page token twice"},
	} {
		all, came, err := pages(tt.next)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if d := cmp.Diff(tt.all, all); d != "" || came != tt.came || got != tt.err {
			t.Errorf("%s: got %v, %d pages, %q, want %v, %d, %q", tt.name, all, came, got, tt.all, tt.came, tt.err)
		}
	}
	n := 0
	_, came, err := pages(func(*string) ([]int, *string, error) { n++; return nil, text(fmt.Sprint(n)), nil })
	if came != maxPages || err == nil {
		t.Errorf("a list without end: got %d pages, %v", came, err)
	}
}

func TestEachGivesUp(t *testing.T) {
	t.Parallel()
	items := make([]int, 100)
	for i := range items {
		items[i] = i
	}
	var calls atomic.Int32
	run := func(width int, do func(int) error) []error {
		calls.Store(0)
		return each(width, items, func(i int) error { calls.Add(1); return do(i) })
	}
	count := func(errs []error) (n int) {
		for _, err := range errs {
			if err != nil {
				n++
			}
		}
		return n
	}
	if errs := run(8, func(int) error { return nil }); count(errs) != 0 || calls.Load() != 100 {
		t.Errorf("all well: got %d errors in %d calls", count(errs), calls.Load())
	}
	if errs := run(1, func(int) error { return code("AccessDenied") }); count(errs) != 100 || calls.Load() != giveUp {
		t.Errorf("all refused: got %d errors in %d calls, want 100 in %d", count(errs), calls.Load(), giveUp)
	}
	if errs := run(1, func(i int) error {
		if i%2 == 0 {
			return code("Throttling")
		}
		return nil
	}); count(errs) != 50 || calls.Load() != 100 {
		t.Errorf("every other throttled: got %d errors in %d calls, want 50 in 100", count(errs), calls.Load())
	}
	if errs := run(4, func(int) error { return errors.New("broken") }); count(errs) != 100 || calls.Load() != 100 {
		t.Errorf("all failed: got %d errors in %d calls, want 100 in 100", count(errs), calls.Load())
	}
	if errs := each(8, nil, func(int) error { return nil }); len(errs) != 0 {
		t.Errorf("nothing to do: got %v", errs)
	}
}

func TestAskKeepsToItsBudget(t *testing.T) {
	t.Parallel()
	call := func(ctx context.Context, _ *int, _ ...func(*int)) (*int, error) {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("call: got a context without a deadline")
		}
		return nil, nil
	}
	l := &line{bucket: rate.NewLimiter(rate.Every(time.Hour), 1), limit: time.Minute}
	if _, err := ask(t.Context(), l, call, nil); err != nil {
		t.Errorf("first call: got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := ask(ctx, l, call, nil)
	if reason, _ := classify(err); reason != live.GapThrottled {
		t.Errorf("second call, whose turn is in an hour: got %v, want it throttled by our own budget", err)
	}
	cancel()
	_, err = ask(ctx, l, call, nil)
	if reason, _ := classify(err); reason != live.GapFailed {
		t.Errorf("call after the context ended: got %v, want failed", err)
	}
}

func TestRolling(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	var r rolling[string, int]
	due := func(want ...string) {
		t.Helper()
		got := r.due([]string{"a", "b", "c"}, at, 3*time.Minute)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("due (-want +got):\n%s", d)
		}
		for _, k := range got {
			r.put(k, 1, at)
		}
	}
	due("a", "b", "c")
	due()
	at = at.Add(time.Minute)
	due("a")
	at = at.Add(time.Minute)
	due("b")
	r.forget("a")
	due("a")
	at = at.Add(time.Hour)
	due("c", "a", "b")
	r.keep([]string{"b"})
	if len(r.entries) != 1 {
		t.Errorf("keep: got %v, want b alone", r.entries)
	}
	at = at.Add(-2 * time.Hour) // a clock that was set back is no reason for a panic
	r.due([]string{"b"}, at, time.Minute)
}

// TestBudget: what is told of a rate limit is its lowest moment since it was asked last,
// and how long calls waited for it; one without a rate is always full.
func TestBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var waited []time.Duration
		l := newLine(rate.Every(time.Second), Limits{Burst: 3}, func(d time.Duration) { waited = append(waited, d) })
		for range 4 {
			if err := l.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := l.budget(), (Budget{0, 3}); got != want {
			t.Errorf("after 4 calls of 3 at once: %+v, want %+v", got, want)
		}
		time.Sleep(time.Minute)
		_ = l.budget()
		if got, want := l.budget(), (Budget{3, 3}); got != want {
			t.Errorf("after a rest: %+v, want %+v", got, want)
		}
		if want := []time.Duration{0, 0, 0, time.Second}; !slices.Equal(waited, want) {
			t.Errorf("waited %v, want %v", waited, want)
		}
		free := newLine(rate.Inf, Limits{Burst: 3}, nil)
		for range 10 {
			if err := free.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := free.budget(), (Budget{3, 3}); got != want {
			t.Errorf("without a rate: %+v, want %+v", got, want)
		}
	})
}
