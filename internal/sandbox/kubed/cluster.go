package kubed

import (
	"cmp"
	"crypto/ecdsa"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	fakediscovery "k8s.io/client-go/discovery/fake"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"

	"github.com/lanyard-io/lanyard/internal/sandbox/virtual"
)

// Options are the settings of a [Cluster].
type Options struct {
	// Clock is the time that the cluster stamps on what it stores. It is required.
	Clock *virtual.Clock
	// Issuer is what the cluster's OIDC discovery document names as its issuer.
	Issuer string
	// Version is the server's version; the default is one of EKS.
	Version string
	// Seed varies the generated uids and names.
	Seed uint64
}

// PodAdmission is the mutating webhook that a pod passes on its way in. It is asked
// for every create, dry runs included, without any lock of the cluster held.
type PodAdmission interface {
	AdmitPod(pod *corev1.Pod) *corev1.Pod
}

// Cluster is a Kubernetes API in memory. It is safe for use by several goroutines.
// Make one with [New].
type Cluster struct {
	clock    *virtual.Clock
	seed     uint64
	version  string
	tracker  clienttesting.ObjectTracker
	reactors []clienttesting.Reactor // answer for every user

	keyOnce sync.Once
	key     *ecdsa.PrivateKey // signs ServiceAccount tokens
	keyErr  error

	mu        sync.Mutex // held for each write from reading the object until it is stored
	versions  map[schema.GroupVersionResource]int64
	past      []change
	watchers  []*watcher
	issuer    string
	admission PodAdmission
	observers []func(obj runtime.Object, deleted bool)
	minted    uint64
	calls     []Call
	faults    []*Fault
}

// New returns a cluster that holds the namespaces every cluster has.
func New(o Options) *Cluster {
	c := &Cluster{
		clock:    o.Clock,
		seed:     o.Seed,
		version:  cmp.Or(o.Version, "v1.37.2-eks-3025e55"),
		issuer:   o.Issuer,
		tracker:  newTracker(),
		versions: map[schema.GroupVersionResource]int64{},
	}
	on := func(verb, resource string, f clienttesting.ReactionFunc) {
		c.reactors = append(c.reactors, &clienttesting.SimpleReactor{Verb: verb, Resource: resource, Reaction: f})
	}
	on("create", "*", c.admitNamespace)
	on("create", "pods/eviction", c.locked(c.evict))
	on("create", "pods/binding", c.locked(c.bind))
	on("create", "serviceaccounts/token", c.locked(c.requestToken))
	on("*", "*", refuseSubresources)
	on("create", "pods", c.admitPod)
	on("create", "*", c.locked(c.write))
	on("update", "*", c.locked(c.write))
	on("patch", "*", c.locked(c.write))
	on("delete", "*", c.locked(c.remove))
	on("list", "*", c.selectFields)
	on("*", "*", clienttesting.ObjectReaction(c.tracker))
	for _, name := range []string{"default", "kube-system", "kube-public", "kube-node-lease"} {
		if err := c.ensureNamespace(name); err != nil {
			panic(err) // of an empty tracker
		}
	}
	return c
}

// locked runs a reactor that reads what it then writes.
func (c *Cluster) locked(f clienttesting.ReactionFunc) clienttesting.ReactionFunc {
	return func(a clienttesting.Action) (bool, runtime.Object, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return f(a)
	}
}

// client is a fake clientset without a tracker of its own.
type client struct {
	fake.Clientset
	discovery *fakediscovery.FakeDiscovery
	served    int // under the fake's lock
}

// remembered is how many actions a client keeps: client-go's fake has no end to them, and
// nobody asks for them here, as the cluster keeps a record of its own.
const remembered = 1000

// Discovery implements [kubernetes.Interface].
func (c *client) Discovery() discovery.DiscoveryInterfaces { return c.discovery }

// Client returns a client of the cluster that acts as the user, which is the name
// that [Call] and [Fault] know it by and its default field manager.
func (c *Cluster) Client(user string) kubernetes.Interface {
	cs := &client{}
	cs.discovery = &fakediscovery.FakeDiscovery{
		Fake:               &cs.Fake,
		FakedServerVersion: &version.Info{Major: "1", Minor: "37", GitVersion: c.version},
	}
	cs.AddReactor("*", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
		if cs.served++; cs.served%remembered == 0 {
			go cs.ClearActions() // waits for the lock that a reactor is called under
		}
		return c.serve(user, a)
	})
	cs.AddWatchReactor("*", func(a clienttesting.Action) (bool, watch.Interface, error) { return c.serveWatch(user, a) })
	return cs
}

// Issuer returns the issuer of the cluster's ServiceAccount tokens, which a real one
// shows at /.well-known/openid-configuration.
func (c *Cluster) Issuer() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.issuer
}

// SetIssuer changes the issuer.
func (c *Cluster) SetIssuer(issuer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.issuer = issuer
}

// SetAdmission puts a webhook before pod creation, or none for nil.
func (c *Cluster) SetAdmission(a PodAdmission) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.admission = a
}

// Observe calls f for every stored object, and from then on for every one that is
// written or deleted, before the call that wrote it returns. f must not call the
// cluster or change the object.
func (c *Cluster) Observe(f func(obj runtime.Object, deleted bool)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, gvr := range c.resources() {
		for _, obj := range c.list(gvr, "") {
			f(obj, false)
		}
	}
	c.observers = append(c.observers, f)
}

// Seed stores objects as they are, status included, without admission, faults or a
// record. What is empty is filled in: uid, creationTimestamp, resourceVersion, and
// the namespace where it does not exist. An object that exists is replaced.
func (c *Cluster) Seed(objs ...runtime.Object) error { return c.SeedAs("kubectl-create", objs...) }

// SeedAs is [Cluster.Seed] with the field manager that objects without managedFields
// get, such as "helm".
func (c *Cluster) SeedAs(manager string, objs ...runtime.Object) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, obj := range objs {
		if err := c.seedOne(manager, obj.DeepCopyObject()); err != nil {
			return fmt.Errorf("seed %T: %w", obj, err)
		}
	}
	return nil
}

func (c *Cluster) seedOne(manager string, obj runtime.Object) error {
	m, err := meta.Accessor(obj)
	if err != nil {
		return err
	}
	kinds, _, err := scheme.Scheme.ObjectKinds(obj)
	if err != nil {
		return err
	}
	gvr, _ := meta.UnsafeGuessKindToResource(kinds[0])
	if m.GetNamespace() != "" {
		if err := c.ensureNamespace(m.GetNamespace()); err != nil {
			return err
		}
	}
	c.identify(gvr, m)
	if m.GetManagedFields() == nil {
		create := clienttesting.NewCreateActionWithOptions(gvr, m.GetNamespace(), obj, metav1.CreateOptions{FieldManager: manager})
		if obj, err = c.try(create, nil); err != nil {
			return err
		}
	}
	k := key{gvr, m.GetNamespace(), m.GetName()}
	return c.put(k, c.get(k), obj)
}

// Remove takes an object out of the tracker, whatever its grace, without a record. It
// is silent where there is none.
func (c *Cluster) Remove(gvr schema.GroupVersionResource, namespace, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := key{gvr, namespace, name}
	if old := c.get(k); old != nil {
		_ = c.drop(k, old) // it is there, and nobody else writes
	}
}

// ensureNamespace makes a namespace and the ServiceAccount "default" in it, which on
// a real cluster the ServiceAccount controller makes.
func (c *Cluster) ensureNamespace(name string) error {
	k := key{gvr: namespaces, name: name}
	if c.get(k) != nil {
		return nil
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelMetadataName: name}}}
	ns.Status.Phase = corev1.NamespaceActive
	c.identify(namespaces, ns)
	if err := c.put(k, nil, ns); err != nil {
		return err
	}
	return c.ensureDefaultServiceAccount(name)
}

func (c *Cluster) ensureDefaultServiceAccount(namespace string) error {
	k := key{serviceAccounts, namespace, "default"}
	if c.get(k) != nil {
		return nil
	}
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: namespace}}
	c.identify(serviceAccounts, sa)
	return c.put(k, nil, sa)
}

func (c *Cluster) now() metav1.Time { return metav1.NewTime(c.clock.Now()).Rfc3339Copy() }
