//go:build linux

package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/test/e2e/plane"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(processVar); text != "" {
		os.Exit(process(text))
	}
	app.BridgeKlog(slog.New(slog.DiscardHandler)) // global in klog
	os.Exit(plane.Main(m))
}

// patience is how long a test waits for what takes a second on an idle machine.
const patience = time.Minute

// admin is how to reach the cluster as its administrator.
func admin(t *testing.T) *rest.Config {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", plane.Need(t).Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1 // the API server has a limit of its own
	return config
}

func adminClient(t *testing.T) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(admin(t))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// namespace makes one for this test. It is deleted afterwards, and not waited for. Both
// ask until they are answered: a test before may have left the API server starting.
func namespace(t *testing.T, client kubernetes.Interface) string {
	t.Helper()
	name := ""
	eventually(t, "a namespace", func() error {
		ns, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"}}, metav1.CreateOptions{})
		name = ns.GetName()
		return err
	})
	t.Cleanup(func() {
		eventually(t, "deletion of namespace "+name, func() error {
			err := client.CoreV1().Namespaces().Delete(context.Background(), name, metav1.DeleteOptions{})
			if apierrors.IsNotFound(err) { // by the test itself
				return nil
			}
			return err
		})
	})
	eventually(t, "ServiceAccount default in "+name, func() error {
		_, err := client.CoreV1().ServiceAccounts(name).Get(t.Context(), "default", metav1.GetOptions{})
		return err
	})
	return name
}

// eventually asks until the answer is no error, and fails with the last one.
func eventually(t *testing.T, what string, ask func() error) {
	t.Helper()
	err := error(nil)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = ask(); err == nil {
			return
		}
	}
	t.Fatalf("%s: not after %v: %v", what, patience, err)
}

// want is an error if got is not it.
func want[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s is %v, want %v", what, got, want)
	}
	return nil
}
