package kubed

import (
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Call is one request that reached the cluster.
type Call struct {
	At   time.Time
	User string
	// Verb is the verb as RBAC names it.
	Verb string
	// Group and Resource are as in an RBAC rule; Resource includes the subresource,
	// as in "pods/eviction".
	Group, Resource string
	Namespace, Name string
	FieldManager    string
	DryRun          bool
	// Mutating says that the call would change the cluster: a verb that writes, and
	// no dry run.
	Mutating bool
	// Err is the reason of the error that the caller got, or "".
	Err string
}

// Calls returns every call so far, or those of one user, oldest first. Users can be
// several; none means all.
func (c *Cluster) Calls(users ...string) []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Call
	for _, call := range c.calls {
		if len(users) == 0 || slices.Contains(users, call.User) {
			out = append(out, call)
		}
	}
	return out
}

// ForgetCalls empties the record.
func (c *Cluster) ForgetCalls() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = nil
}

func (c *Cluster) record(r request, err error) {
	call := Call{
		At:        c.clock.Now(),
		User:      r.user,
		Verb:      r.verb,
		Group:     r.key.gvr.Group,
		Resource:  r.resource(),
		Namespace: r.key.namespace,
		Name:      r.key.name,
		DryRun:    r.dryRun,
		Mutating:  r.mutating(),
	}
	if r.verb == "create" || r.verb == "update" || r.verb == "patch" {
		call.FieldManager = r.manager
	}
	if err != nil {
		call.Err = string(apierrors.ReasonForError(err))
		if call.Err == "" {
			call.Err = "Unknown"
		}
	}
	c.calls = append(c.calls, call)
}
