package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/lanyard-io/lanyard/internal/hook"
	"github.com/lanyard-io/lanyard/sync/status"
)

// authorize says who may read the API: bearers of a token in the file, and where the
// API server is to be asked, whoever it knows and lets get the path. Nil where neither
// is asked for: then there is no API.
func authorize(o DaemonOptions, kube kubernetes.Interface) func(ctx context.Context, bearer, path string) (bool, error) {
	var ways []func(ctx context.Context, bearer, path string) (bool, error)
	if o.APITokenFile != "" {
		ways = append(ways, status.Tokens(func() ([]string, error) { return lines(o.APITokenFile) }))
	}
	if o.APIAccess {
		asking := make(chan struct{}, maxReviews)
		ways = append(ways, func(ctx context.Context, bearer, path string) (bool, error) {
			select {
			case asking <- struct{}{}:
				defer func() { <-asking }()
				return mayGet(ctx, kube, bearer, path)
			default:
				return false, errors.New("too many ask at once who they are")
			}
		})
	}
	if len(ways) == 0 {
		return nil
	}
	return func(ctx context.Context, bearer, path string) (allowed bool, err error) {
		for _, way := range ways {
			if allowed, err = way(ctx, bearer, path); allowed {
				return true, nil
			}
		}
		return allowed, err
	}
}

// maxReviews bounds how many strangers' tokens are asked about at a time: the rounds and
// the Lease go to the same API server.
const maxReviews = 4

// reviewPrefix stands before the path that the API server is asked about. Without it every
// ServiceAccount could read everything: Kubernetes' own ClusterRole system:discovery lets
// all who are authenticated get /api/*.
//
// Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#discovery-roles
const reviewPrefix = "/lanyard"

// mayGet asks the API server whose token it is, and whether they may get the path.
//
// Sources: https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/
// and https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/subject-access-review-v1/
func mayGet(ctx context.Context, kube kubernetes.Interface, bearer, path string) (bool, error) {
	who, err := kube.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: bearer}}, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("ask the API server whose token it is: %w", err)
	}
	if !who.Status.Authenticated {
		return false, status.ErrUnauthenticated
	}
	user := who.Status.User
	extra := make(map[string]authorizationv1.ExtraValue, len(user.Extra))
	for key, value := range user.Extra {
		extra[key] = authorizationv1.ExtraValue(value)
	}
	may, err := kube.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: reviewPrefix + path, Verb: "get"},
	}}, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("ask the API server what %s may do: %w", user.Username, err)
	}
	return may.Status.Allowed && !may.Status.Denied, nil
}

// maxSecret bounds a file of tokens or secrets.
const maxSecret = 64 << 10

// lines returns the lines of a small file that are not empty.
func lines(name string) ([]string, error) {
	data, err := readFile(name, maxSecret)
	if err != nil {
		return nil, err
	}
	out := strings.Split(string(data), "\n")
	for i := range out {
		out[i] = strings.TrimSpace(out[i])
	}
	return slices.DeleteFunc(out, func(s string) bool { return s == "" }), nil
}

// secrets reads the secrets of hooks anew for each delivery, so that they can be
// rotated: one a line, in any number of files. A file that cannot be read has none.
func secrets(files map[string][]string) func(hook.Provider) [][]byte {
	return func(p hook.Provider) [][]byte {
		var out [][]byte
		for _, file := range files[string(p)] {
			found, err := lines(file)
			if err != nil {
				continue
			}
			for _, s := range found {
				out = append(out, []byte(s))
			}
		}
		return out
	}
}

// CheckSecrets says what is wrong with a file of secrets, if anything is.
func CheckSecrets(file string) error {
	found, err := lines(file)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("%s is empty: write a secret to it, for instance one of: openssl rand -hex 32", file)
	}
	return nil
}
