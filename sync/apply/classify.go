package apply

import (
	"errors"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lanyard-io/lanyard/internal/remedy"
)

// propagating are the texts with which EKS refuses a role, or a trust policy, that IAM
// has not shown it yet.
// Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_CreatePodIdentityAssociation.html
// and https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
var propagating = []string{"Trust policy of the role provided is invalid", "Role provided in the request does not exist"}

// classAWS says what an error of IAM or EKS asks for. No answer (a broken connection, a
// deadline) asks to try again; an answer that is not about load, time or the state of
// the world (AccessDenied, MalformedPolicyDocument, LimitExceeded, UnmodifiableEntity,
// NoSuchEntity, ...) needs a person.
//
// IAM's quota error is LimitExceeded, which is not the throttle LimitExceededException.
func classAWS(err error) remedy.Class {
	api, answered := errors.AsType[smithy.APIError](err)
	if !answered {
		return remedy.Retry
	}
	if _, throttled := retry.DefaultThrottleErrorCodes[api.ErrorCode()]; throttled {
		return remedy.Retry
	}
	switch api.ErrorCode() {
	case "ConcurrentModification", "ConcurrentModificationException", "ResourceInUseException", "ResourceNotFoundException":
		return remedy.Replan
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired":
		return remedy.Retry
	}
	for _, text := range propagating {
		if strings.Contains(api.ErrorMessage(), text) {
			return remedy.Retry
		}
	}
	if res, is := errors.AsType[*smithyhttp.ResponseError](err); is && overloaded(res.HTTPStatusCode()) {
		return remedy.Retry
	}
	return remedy.Hold
}

// classKube says what an error of the API server asks for.
func classKube(err error) remedy.Class {
	var status apierrors.APIStatus // an interface that is no error, so not AsType
	if !errors.As(err, &status) {
		return remedy.Retry
	}
	s := status.Status()
	switch {
	case apierrors.HasStatusCause(err, metav1.CauseTypeFieldManagerConflict):
		return remedy.Hold
	case s.Reason == metav1.StatusReasonConflict, s.Reason == metav1.StatusReasonNotFound, moved(s):
		return remedy.Replan
	case overloaded(int(s.Code)):
		return remedy.Retry
	}
	return remedy.Hold
}

func overloaded(status int) bool {
	return status >= http.StatusInternalServerError || status == http.StatusTooManyRequests
}

// moved reports whether a refusal (422) says that the object is not the one that the
// patch was made for: a changed metadata.uid, or a JSON patch whose test failed, which
// the API server answers without naming any object. An admission policy's 422 does.
func moved(s metav1.Status) bool {
	if s.Reason != metav1.StatusReasonInvalid {
		return false
	}
	if s.Details == nil || s.Details.Kind == "" {
		return true
	}
	for _, cause := range s.Details.Causes {
		if cause.Field == "metadata.uid" {
			return true
		}
	}
	return false
}
