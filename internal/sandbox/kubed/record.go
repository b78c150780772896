package kubed

import (
	"cmp"
	"slices"
	"time"

	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	clienttesting "k8s.io/client-go/testing"
)

// The fake records actions per client, without the time, the user or what came of them.

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

// serve is what every client asks: faults, then the reactors, then the record.
func (c *Cluster) serve(user string, a clienttesting.Action) (bool, runtime.Object, error) {
	switch a.GetResource().Resource {
	case "version", "group", "resource": // discovery, which client-go's fake answers itself
		return false, nil, nil
	}
	a = withManager(user, a)
	call := c.describe(user, a)
	f := c.fault(call)
	var obj runtime.Object
	var err error
	who, asked := review(user, a)
	switch {
	case f == nil && asked:
		obj = who
	case f == nil:
		var answered bool
		if obj, answered, err = c.access(user, a); !answered {
			obj, err = c.react(a)
		}
	case f.Failure == Stale:
		_, obj, err = c.stale(a, call.At.Add(-f.Lag))
	default:
		if f.Stored {
			_, err = c.react(a)
		}
		if err == nil {
			err = f.err(call)
		}
	}
	c.record(call, err)
	if err != nil {
		return true, nil, err
	}
	return true, obj, nil
}

// react asks the reactors in turn, as the fake does.
func (c *Cluster) react(a clienttesting.Action) (runtime.Object, error) {
	for _, r := range c.reactors {
		if !r.Handles(a) {
			continue
		}
		if handled, obj, err := r.React(a); handled {
			return obj, err
		}
	}
	return nil, apierrors.NewMethodNotSupported(a.GetResource().GroupResource(), a.GetVerb())
}

func (c *Cluster) serveWatch(user string, a clienttesting.Action) (bool, watch.Interface, error) {
	call := c.describe(user, a)
	var w watch.Interface
	var err error
	if f := c.fault(call); f != nil {
		err = f.err(call)
	} else if action, ok := a.(clienttesting.WatchActionImpl); ok {
		w, err = c.watch(action)
	}
	c.record(call, err)
	return true, w, err
}

func (c *Cluster) record(call Call, err error) {
	if err != nil {
		call.Err = cmp.Or(string(apierrors.ReasonForError(err)), "Unknown")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, call)
}

func (c *Cluster) describe(user string, a clienttesting.Action) Call {
	k := keyOf(a)
	manager, dry := optionsOf(a)
	call := Call{
		At: c.clock.Now(), User: user, Verb: a.GetVerb(), Group: k.gvr.Group, Resource: resourceOf(a),
		Namespace: k.namespace, Name: k.name, FieldManager: manager, DryRun: slices.Contains(dry, metav1.DryRunAll),
	}
	if _, ok := a.(clienttesting.DeleteCollectionActionImpl); ok {
		call.Verb = "deletecollection"
	}
	call.Mutating = !call.DryRun && !slices.Contains([]string{"get", "list", "watch"}, call.Verb)
	return call
}

// withManager names the user where a write names no field manager. Server-side apply
// has no default.
func withManager(user string, a clienttesting.Action) clienttesting.Action {
	switch a := a.(type) {
	case clienttesting.CreateActionImpl:
		a.CreateOptions.FieldManager = cmp.Or(a.CreateOptions.FieldManager, user)
		return a
	case clienttesting.UpdateActionImpl:
		a.UpdateOptions.FieldManager = cmp.Or(a.UpdateOptions.FieldManager, user)
		return a
	case clienttesting.PatchActionImpl:
		if a.PatchType != types.ApplyPatchType {
			a.PatchOptions.FieldManager = cmp.Or(a.PatchOptions.FieldManager, user)
		}
		return a
	}
	return a
}

// keyOf returns the object that an action is about; without a name for a list.
func keyOf(a clienttesting.Action) key {
	k := key{gvr: a.GetResource(), namespace: a.GetNamespace()}
	switch a := a.(type) {
	case interface{ GetName() string }: // get, patch, delete
		k.name = a.GetName()
	case interface{ GetObject() runtime.Object }: // create, update
		if m, err := meta.Accessor(a.GetObject()); err == nil {
			k.name = m.GetName()
		}
	}
	return k
}

// resourceOf returns the resource in the form of an RBAC rule, such as "pods/eviction".
func resourceOf(a clienttesting.Action) string {
	if sub := a.GetSubresource(); sub != "" {
		return a.GetResource().Resource + "/" + sub
	}
	return a.GetResource().Resource
}

func dryRun(a clienttesting.Action) bool {
	_, dry := optionsOf(a)
	return slices.Contains(dry, metav1.DryRunAll)
}

// optionsOf returns what the options of a write have in common.
func optionsOf(a clienttesting.Action) (manager string, dryRun []string) {
	switch a := a.(type) {
	case clienttesting.CreateActionImpl:
		dryRun = a.CreateOptions.DryRun
		if e, ok := a.Object.(*policyv1.Eviction); ok && e.DeleteOptions != nil {
			dryRun = append(slices.Clone(dryRun), e.DeleteOptions.DryRun...)
		}
		return a.CreateOptions.FieldManager, dryRun
	case clienttesting.UpdateActionImpl:
		return a.UpdateOptions.FieldManager, a.UpdateOptions.DryRun
	case clienttesting.PatchActionImpl:
		return a.PatchOptions.FieldManager, a.PatchOptions.DryRun
	case clienttesting.DeleteActionImpl:
		return "", a.DeleteOptions.DryRun
	case clienttesting.DeleteCollectionActionImpl:
		return "", a.DeleteOptions.DryRun
	}
	return "", nil
}
