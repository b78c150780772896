package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
)

// MarkHolder reads and patches the ServiceAccounts of one namespace. client-go's typed
// ServiceAccountInterface is one.
type MarkHolder interface {
	ServiceAccountWriter
	Get(ctx context.Context, name string, opts metav1.GetOptions) (*corev1.ServiceAccount, error)
}

// ErrNoMark is what [DropMark] answers where there is nothing to drop.
var ErrNoMark = errors.New("no such mark")

// DropMark takes an annotation off a ServiceAccount and returns what it said. It is what a
// person asks for who has seen that value: a mark that changes meanwhile stays. With dry
// it only tells.
func DropMark(ctx context.Context, accounts MarkHolder, s identity.Subject, key string, dry bool) (said string, err error) {
	account, err := accounts.Get(ctx, s.ServiceAccount, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("read ServiceAccount %s: %w", s, err)
	}
	said, there := account.Annotations[key]
	if !there {
		return "", ErrNoMark
	}
	if dry {
		return said, nil
	}
	patch, err := dropPatch(string(account.UID), key, said)
	if err != nil {
		return "", err
	}
	_, err = accounts.Patch(ctx, s.ServiceAccount, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: diff.FieldManager})
	var status apierrors.APIStatus
	switch {
	case err == nil:
		return said, nil
	case errors.As(err, &status) && moved(status.Status()):
		return "", fmt.Errorf("annotation %s of ServiceAccount %s was changed at the same moment: look at it again", key, s)
	}
	return "", fmt.Errorf("take annotation %s off ServiceAccount %s: %w", key, s, err)
}

// dropPatch is a JSON patch that removes one annotation if it is still the ServiceAccount
// and the value that were seen.
func dropPatch(uid, key, old string) ([]byte, error) {
	type operation struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value string `json:"value,omitempty"`
	}
	// RFC 6901: ~ and / are escaped in a path.
	path := "/metadata/annotations/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
	return json.Marshal([]operation{
		{Op: "test", Path: "/metadata/uid", Value: uid},
		{Op: "test", Path: path, Value: old},
		{Op: "remove", Path: path},
	})
}
