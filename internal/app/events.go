package app

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/client-go/kubernetes"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
	"github.com/lanyard-io/lanyard/sync/report"
)

// The reasons of Events.
const (
	reasonStep    = "IdentityStep"       // a write, whatever came of it
	reasonFinding = "IdentityFinding"    // a critical finding that was not there in the round before
	component     = "lanyard.io/lanyard" // reportingController

	reasonIdentity = "IdentityProbe" // what AWS took a new pod for; see [checks]
)

// events writes Events on ServiceAccounts: one for every step that was taken, one for
// every new critical finding, and one for every answer of an identity probe. They are for people: a full queue loses some, and what
// lanyard decides never depends on one.
//
// client-go's recorders are not used: they write from goroutines of their own that
// outlive Close, and fold events by rules that hide a second step of the same kind.
type events struct {
	kube     kubernetes.Interface
	instance string
	log      *slog.Logger
	now      func() time.Time
	told     func(sent bool)

	queue    chan *eventsv1.Event
	done     sync.WaitGroup
	cancel   context.CancelFunc
	farewell time.Duration   // for what is still queued at the end
	known    map[string]bool // critical findings of the last round
	failing  map[string]telling
}

// telling is what was last told of a step that came to nothing, by its ID.
type telling struct {
	note string
	at   time.Time
}

// again is how long the same failure of the same step is not told a second time: one that
// a disruption budget refuses, say, is tried every 5 seconds.
const again = 10 * time.Minute

const (
	eventQueue   = 1000
	eventTimeout = 5 * time.Second
	maxNote      = 1024 // of bytes; Kubernetes refuses more
)

func newEvents(kube kubernetes.Interface, instance string, log *slog.Logger, now func() time.Time, told func(bool)) *events {
	return &events{kube: kube, instance: instance, log: log, now: now, told: told, queue: make(chan *eventsv1.Event, eventQueue), farewell: eventTimeout, known: map[string]bool{}, failing: map[string]telling{}}
}

// start writes what is queued until close.
func (e *events) start(ctx context.Context) {
	ctx, e.cancel = context.WithCancel(ctx)
	e.done.Go(func() {
		refused := time.Time{}
		for event := range e.queue {
			ctx, cancel := context.WithTimeout(ctx, eventTimeout)
			_, err := e.kube.EventsV1().Events(event.Namespace).Create(ctx, event, metav1.CreateOptions{})
			cancel()
			e.told(err == nil)
			if err != nil && time.Since(refused) > time.Minute {
				refused = time.Now()
				e.log.Warn("an Event was not written; told once a minute at most", "subject", event.Regarding.Namespace+"/"+event.Regarding.Name, "err", err)
			}
		}
	})
}

// close writes what is still queued, as far as that takes no longer than a moment: the
// Lease waits for it.
func (e *events) close() {
	close(e.queue)
	late := time.AfterFunc(e.farewell, e.cancel)
	e.done.Wait()
	late.Stop()
	e.cancel()
}

// saw queues the Events of a round.
func (e *events) saw(r report.Round, snapshot *live.Snapshot) {
	for _, o := range r.Outcomes {
		if o.Result == report.NotTaken {
			continue
		}
		kind, note := noted(o)
		if e.repeats(o, note) {
			continue
		}
		e.put(snapshot, o.Step.Subject, kind, reasonStep, o.Step.Effect.String(), note)
	}
	known := make(map[string]bool, len(e.known))
	for _, f := range r.Result.Findings {
		if f.Severity != diff.Critical || f.Subject.IsZero() {
			continue
		}
		key := f.Key()
		known[key] = true
		if !e.known[key] {
			e.put(snapshot, f.Subject, corev1.EventTypeWarning, reasonFinding, string(f.Kind), string(f.Kind)+": "+f.Message)
		}
	}
	e.known = known
}

// noted is the sentence about a step, and whether somebody should look: it came to an
// error, a move has failed, or a rollout was stopped.
func noted(o report.Outcome) (kind, note string) {
	kind, note = corev1.EventTypeNormal, fmt.Sprintf("%s: %s (%s)", o.Result, o.Step.Action, o.Step.Because)
	set, _ := o.Step.Action.(plan.SetAnnotation)
	if _, stops := o.Step.Action.(plan.PauseRollout); stops || set.Key == diff.RolledBackMark {
		kind = corev1.EventTypeWarning
	}
	if o.Err != nil {
		kind, note = corev1.EventTypeWarning, note+": "+o.Err.Error()
	}
	return kind, note
}

// repeats reports whether a step came to nothing as it did a moment ago.
func (e *events) repeats(o report.Outcome, note string) bool {
	now := e.now()
	maps.DeleteFunc(e.failing, func(_ string, t telling) bool { return now.Sub(t.at) >= again })
	id := o.Step.ID()
	if o.Wrote() {
		delete(e.failing, id)
		return false
	}
	if e.failing[id].note == note {
		return true
	}
	e.failing[id] = telling{note, now}
	return false
}

// put queues one Event; one about a ServiceAccount that does not exist has nothing to
// stand on.
func (e *events) put(snapshot *live.Snapshot, s identity.Subject, kind, reason, action, note string) {
	account, presence := snapshot.ServiceAccount(s)
	if presence != live.Present {
		return
	}
	now := e.now()
	event := &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: fmt.Sprintf("%.200s.%x%s", s.ServiceAccount, now.UnixNano(), rand.String(4))},
		EventTime:  metav1.NewMicroTime(now), ReportingController: component, ReportingInstance: clip(e.instance, 128),
		Action: action, Reason: reason, Type: kind, Note: clip(note, maxNote),
		Regarding: corev1.ObjectReference{APIVersion: "v1", Kind: "ServiceAccount", Namespace: s.Namespace, Name: s.ServiceAccount, UID: uid(account)},
	}
	select {
	case e.queue <- event:
	default:
		e.told(false)
	}
}

// clip shortens a text to so many bytes, at a character's end.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	s = s[:most-len("…")]
	for len(s) > 0 && !utf8.ValidString(s[max(0, len(s)-utf8.UTFMax):]) {
		s = s[:len(s)-1]
	}
	return s + "…"
}

func uid(a live.ServiceAccount) types.UID { return types.UID(a.UID) }
