package kubed

import (
	"cmp"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/version"
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

// Cluster is a Kubernetes API server in memory. It is safe for use by several
// goroutines. Make one with [New].
type Cluster struct {
	clock *virtual.Clock
	seed  uint64
	ver   string

	mu        sync.Mutex
	issuer    string
	store     store
	admission PodAdmission
	observers []func(obj runtime.Object, deleted bool)
	managers  map[managerKey]*managedfields.FieldManager
	minted    uint64
	calls     []Call
	faults    []*Fault
}

// New returns a cluster that holds the namespaces every cluster has.
func New(o Options) *Cluster {
	c := &Cluster{
		clock:    o.Clock,
		seed:     o.Seed,
		ver:      cmp.Or(o.Version, "v1.37.2-eks-3025e55"),
		issuer:   o.Issuer,
		store:    newStore(),
		managers: map[managerKey]*managedfields.FieldManager{},
	}
	for _, name := range []string{"default", "kube-system", "kube-public", "kube-node-lease"} {
		c.mu.Lock()
		c.ensureNamespace(name)
		c.mu.Unlock()
	}
	return c
}

// Client returns a client of the cluster that acts as the user, which is the name
// that [Call] and [Fault] know it by and its default field manager.
func (c *Cluster) Client(user string) kubernetes.Interface {
	cs := fake.NewSimpleClientset() //nolint:staticcheck // only its typed clients are used; the cluster keeps the objects and managed fields
	cs.ReactionChain = nil
	cs.WatchReactionChain = nil
	cs.AddReactor("*", "*", func(a clienttesting.Action) (bool, runtime.Object, error) { return c.serve(user, a) })
	cs.AddWatchReactor("*", c.serveWatch(user))
	if d, ok := cs.Discovery().(*fakediscovery.FakeDiscovery); ok {
		d.FakedServerVersion = &version.Info{Major: "1", Minor: "37", GitVersion: c.ver}
	}
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
	for _, obj := range c.store.all() {
		f(obj, false)
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
			return err
		}
	}
	return nil
}

func (c *Cluster) seedOne(manager string, obj runtime.Object) error {
	m, err := meta.Accessor(obj)
	if err != nil {
		return fmt.Errorf("seed %T: %w", obj, err)
	}
	kinds, _, err := scheme.Scheme.ObjectKinds(obj)
	if err != nil {
		return fmt.Errorf("seed %T %s: %w", obj, m.GetName(), err)
	}
	gvr, _ := meta.UnsafeGuessKindToResource(kinds[0])
	if m.GetNamespace() != "" {
		c.ensureNamespace(m.GetNamespace())
	}
	c.fillName(m, gvr)
	if m.GetUID() == "" {
		m.SetUID(c.mintUID(gvr, m))
	}
	if m.GetCreationTimestamp().Time.IsZero() {
		m.SetCreationTimestamp(c.now())
	}
	if m.GetGeneration() == 0 && countsGenerations(gvr) {
		m.SetGeneration(1)
	}
	k := key{gvr, m.GetNamespace(), m.GetName()}
	if m.GetManagedFields() == nil {
		if obj, err = c.track(&request{key: k, manager: manager}, nil, obj); err != nil {
			return fmt.Errorf("seed %T %s: %w", obj, m.GetName(), err)
		}
	}
	stripType(obj)
	c.commit(k, c.store.get(k), obj)
	return nil
}

// Remove takes an object out of the store, whatever its grace or finalizers, without
// a record. It is silent where there is none.
func (c *Cluster) Remove(gvr schema.GroupVersionResource, namespace, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := key{gvr, namespace, name}
	if old := c.store.get(k); old != nil {
		c.commit(k, old, nil)
	}
}

// ensureNamespace makes a namespace and the ServiceAccount "default" in it, which on
// a real cluster the ServiceAccount controller makes.
func (c *Cluster) ensureNamespace(name string) {
	k := key{gvr: namespaces, name: name}
	if c.store.get(k) != nil {
		return
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelMetadataName: name}}}
	ns.Status.Phase = corev1.NamespaceActive
	ns.SetUID(c.mintUID(namespaces, ns))
	ns.SetCreationTimestamp(c.now())
	c.commit(k, nil, ns)
	c.ensureDefaultServiceAccount(name)
}

func (c *Cluster) ensureDefaultServiceAccount(namespace string) {
	k := key{serviceAccounts, namespace, "default"}
	if c.store.get(k) != nil {
		return
	}
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: namespace}}
	sa.SetUID(c.mintUID(serviceAccounts, sa))
	sa.SetCreationTimestamp(c.now())
	c.commit(k, nil, sa)
}

func (c *Cluster) now() metav1.Time { return metav1.Time{Time: c.clock.Now()}.Rfc3339Copy() }
