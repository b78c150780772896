package kubed

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"
)

// The fake stores a SelfSubjectReview, and does not say who asks.

// review answers a SelfSubjectReview. It is nobody's right to deny.
//
// https://kubernetes.io/docs/reference/access-authn-authz/authentication/#self-subject-review
func review(user string, a clienttesting.Action) (*authenticationv1.SelfSubjectReview, bool) {
	create, ok := a.(clienttesting.CreateActionImpl)
	if !ok || a.GetResource().Resource != "selfsubjectreviews" {
		return nil, false
	}
	asked, ok := create.Object.(*authenticationv1.SelfSubjectReview)
	if !ok {
		return nil, false
	}
	answer := asked.DeepCopy()
	answer.Status.UserInfo.Username = username(user)
	answer.Status.UserInfo.Groups = []string{"system:authenticated"}
	return answer, true
}

// username is the name that the API server has for a user. One without a colon is the
// ServiceAccount of that name in the namespace of that name, as lanyard is installed.
func username(user string) string {
	if strings.Contains(user, ":") {
		return user
	}
	return "system:serviceaccount:" + user + ":" + user
}

// SeedManifests is [Cluster.Seed] of objects as YAML.
func (c *Cluster) SeedManifests(text string) error {
	documents := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	var objs []runtime.Object
	for {
		doc, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return c.Seed(objs...)
		}
		if err != nil {
			return fmt.Errorf("read manifests: %w", err)
		}
		obj, _, err := scheme.Codecs.UniversalDeserializer().Decode(doc, nil, nil)
		if err != nil {
			return fmt.Errorf("read manifests: %w", err)
		}
		objs = append(objs, obj)
	}
}
