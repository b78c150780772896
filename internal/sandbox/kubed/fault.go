package kubed

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The fake fails only where a test adds a reactor for it.

// Failure is what a [Fault] does to a call.
type Failure uint8

const (
	// Forbidden refuses the call as RBAC does (403).
	Forbidden Failure = iota
	// Throttled answers 429 with a Retry-After of a second.
	Throttled
	// TimedOut answers 504.
	TimedOut
	// Broken answers 500.
	Broken
	// Stale answers a list or get as it was [Fault.Lag] ago, without an error.
	Stale
)

// Fault makes calls fail. The empty value of a matching field matches everything.
type Fault struct {
	User string
	// Verb is one of get, list, watch, create, update, patch, delete, deletecollection.
	Verb string
	// Resource is as in an RBAC rule: "pods" or "pods/eviction".
	Resource        string
	Namespace, Name string

	Failure Failure
	// Stored makes the error a lie: the call takes effect and then fails. Every
	// mutation should be tested with this and without.
	Stored bool
	// Lag is how far in the past a [Stale] answer lies.
	Lag time.Duration
	// Times is how many calls fail before the fault is spent; zero means every one.
	Times int

	hits int
}

// Inject adds a fault and returns a function that removes it. Of several that match a
// call, the first injected counts.
func (c *Cluster) Inject(f Fault) (remove func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &f
	c.faults = append(c.faults, p)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.faults = slices.DeleteFunc(c.faults, func(q *Fault) bool { return q == p })
	}
}

// fault returns the fault that meets the call, and counts the hit.
func (c *Cluster) fault(call Call) *Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.faults {
		if f.matches(call) {
			f.hits++
			return f
		}
	}
	return nil
}

func (f *Fault) matches(call Call) bool {
	match := func(want, got string) bool { return want == "" || want == got }
	if f.Times > 0 && f.hits >= f.Times {
		return false
	}
	if f.Failure == Stale && call.Verb != "get" && call.Verb != "list" {
		return false
	}
	return match(f.User, call.User) && match(f.Verb, call.Verb) && match(f.Resource, call.Resource) &&
		match(f.Namespace, call.Namespace) && match(f.Name, call.Name)
}

// err is the answer that the caller gets, in the shape of a real API server's.
func (f *Fault) err(call Call) error {
	resource, _, _ := strings.Cut(call.Resource, "/")
	gr := schema.GroupResource{Group: call.Group, Resource: resource}
	switch f.Failure {
	case Forbidden:
		where := "at the cluster scope"
		if call.Namespace != "" {
			where = fmt.Sprintf("in the namespace %q", call.Namespace)
		}
		return apierrors.NewForbidden(gr, call.Name, fmt.Errorf("User %q cannot %s resource %q in API group %q %s", //nolint:staticcheck // the API server's own words
			call.User, call.Verb, call.Resource, gr.Group, where))
	case Throttled:
		return apierrors.NewTooManyRequests("the server has received too many requests and has asked us to try again later", 1)
	case TimedOut:
		return apierrors.NewTimeoutError("request did not complete within the allotted timeout", 0)
	case Broken:
		return apierrors.NewInternalError(errors.New("etcdserver: leader changed"))
	}
	return nil
}
