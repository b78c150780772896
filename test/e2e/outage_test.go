//go:build linux

package e2e

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/lanyard-io/lanyard/test/e2e/plane"
)

// The tests here stop what others need, so they are not parallel: Go runs them while
// the parallel ones wait.

// TestAPIServerOutage holds that a killed API server comes back where it was, with what
// it knew, and that a client made before and its informers go on.
func TestAPIServerOutage(t *testing.T) {
	p := plane.Need(t)
	client := adminClient(t)
	ns := namespace(t, client)
	deploy(t, client, ns, 1, podOf(nil))
	available(t, client, ns, 1)

	seen := make(chan string, 16)
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(ns))
	_, err := factory.Core().V1().ConfigMaps().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(object any) {
		if c, ok := object.(*corev1.ConfigMap); ok {
			seen <- c.Name
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	factory.Start(t.Context().Done())
	factory.WaitForCacheSync(t.Context().Done())

	before, err := p.Pid(plane.APIServer)
	if err != nil {
		t.Fatal(err)
	}
	release := p.Hold(t, plane.APIServer)
	// What is not held has a new process within a twentieth of a second.
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if pid, err := p.Pid(plane.APIServer); err != nil || pid != before || plane.Alive(pid) {
			t.Fatalf("process %d (%v) while the API server is held down, want none after %d", pid, err, before)
		}
	}
	if _, err := client.CoreV1().Namespaces().Get(t.Context(), ns, metav1.GetOptions{}); err == nil {
		t.Fatal("the API server answers while it is held down")
	}
	release()
	eventually(t, "the API server", func() error {
		_, err := client.CoreV1().Namespaces().Get(t.Context(), ns, metav1.GetOptions{})
		return err
	})
	after, err := p.Pid(plane.APIServer)
	if err != nil || after == before {
		t.Errorf("process %d before and %d after (%v), want another one", before, after, err)
	}

	marker := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "written-after"}}
	eventually(t, "a write after the outage", func() error {
		_, err := client.CoreV1().ConfigMaps(ns).Create(t.Context(), marker, metav1.CreateOptions{})
		return err
	})
	for name := ""; name != marker.Name; {
		select {
		case name = <-seen:
		case <-time.After(patience):
			t.Fatalf("the informer has not seen ConfigMap %s after %v", marker.Name, patience)
		}
	}
	scale, err := client.AppsV1().Deployments(ns).GetScale(t.Context(), "test", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	scale.Spec.Replicas = 3
	if _, err := client.AppsV1().Deployments(ns).UpdateScale(t.Context(), "test", scale, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	available(t, client, ns, 3)
}

// TestKilledComponents holds that each of the others comes back too, without a hold,
// and that the cluster works as before.
func TestKilledComponents(t *testing.T) {
	p := plane.Need(t)
	client := adminClient(t)
	before := p.Pids()
	for _, name := range plane.Components {
		if err := p.Kill(name); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all components", func() error {
		for name, pid := range p.Pids() {
			if pid == before[name] || !plane.Alive(pid) {
				return errors.New(name + " has not come back")
			}
		}
		_, err := client.CoreV1().Namespaces().Get(t.Context(), metav1.NamespaceDefault, metav1.GetOptions{})
		return err
	})
	ns := namespace(t, client)
	deploy(t, client, ns, 2, podOf(nil))
	available(t, client, ns, 2)
}

// TestNothingIsLeft holds that a control plane ends with what it started, asked to or
// killed, also while it is starting. That the one of this process does is held by
// plane.Main.
func TestNothingIsLeft(t *testing.T) {
	plane.Need(t)
	for _, test := range []struct {
		name string
		end  func(*plane.Plane) error
	}{
		{"asked to stop", (*plane.Plane).Stop},
		{"killed", (*plane.Plane).Abandon},
	} {
		t.Run(test.name, func(t *testing.T) {
			runtime.LockOSThread() // never unlocked: see plane.Launch
			p, err := plane.Launch(plane.Options{Binary: os.Getenv("LANYARD_TESTCLUSTER"), Dir: filepath.Join(t.TempDir(), "cluster")})
			if err != nil {
				t.Fatal(err)
			}
			eventually(t, "etcd and API server started", func() error { return want("processes", len(p.Pids()) >= 2, true) })
			pids := p.Pids()
			if err := test.end(p); err != nil {
				t.Fatal(err)
			}
			eventually(t, "all processes gone", func() error {
				for name, pid := range pids {
					if plane.Alive(pid) {
						return errors.New(name + " is left")
					}
				}
				return nil
			})
		})
	}
}

// TestLanyardInAnOutage: while the API server is away lanyard lives on, says that it does
// not lead and writes nothing; when the API server returns it leads again, and repairs
// what changed in its first moments.
func TestLanyardInAnOutage(t *testing.T) {
	o := newOperator(t, fleet())
	o.ready()
	d := o.run("one")
	o.repaired()
	d.clear()
	wrote := o.writes()
	release := plane.Need(t).Hold(t, plane.APIServer)
	eventually(t, "loss of the Lease", func() error {
		code, err := d.get("/readyz", "", nil)
		return errors.Join(err, want("/readyz", code, http.StatusServiceUnavailable))
	})
	if code, err := d.get("/healthz", "", nil); err != nil || code != http.StatusOK {
		t.Errorf("/healthz says %d, %v; want 200: a restart mends nothing", code, err)
	}
	release()
	eventually(t, "a write after the outage", func() error {
		return o.patchAccount("irsa", `{"metadata":{"annotations":{"eks.amazonaws.com/token-expiration":"86400"}}}`)
	})
	o.repaired()
	eventually(t, "leading again", func() error {
		code, err := d.get("/readyz", "", nil)
		return errors.Join(err, want("/readyz", code, http.StatusOK))
	})
	d.clear()
	if more := o.writes() - wrote; more != 1 {
		t.Errorf("%d writes in and after the outage, want the one that repairs", more)
	}
}
