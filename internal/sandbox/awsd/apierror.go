package awsd

import (
	"cmp"
	"fmt"
)

// apiError is an error as AWS answers it.
type apiError struct {
	status  int
	code    string
	message string
	cluster string // EKS exceptions say which cluster they concern.
	why     string // What decided, which AWS does not tell the caller.
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

func fail(status int, code, format string, args ...any) *apiError {
	return &apiError{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

// query reports whether a service speaks the Query protocol; the others speak JSON.
func query(service string) bool { return service == "iam" || service == "sts" }

func errDenied(c Call) *apiError {
	on := ""
	if c.Resource != "" {
		on = " on resource: " + c.Resource
	}
	action := c.Service + ":" + c.Operation
	msg := fmt.Sprintf("User: %s is not authorized to perform: %s%s because no identity-based policy allows the %s action",
		cmp.Or(c.Principal, "anonymous"), action, on, action)
	switch c.Service {
	case "iam", "sts":
		return fail(403, "AccessDenied", "%s", msg)
	case "eks-auth", "cloudtrail":
		return fail(400, "AccessDeniedException", "%s", msg)
	}
	return fail(403, "AccessDeniedException", "%s", msg)
}

func errThrottled(service string) *apiError {
	if query(service) {
		return fail(400, "Throttling", "Rate exceeded")
	}
	if service == "cloudtrail" {
		return fail(400, "ThrottlingException", "Rate exceeded")
	}
	return fail(429, "ThrottlingException", "Rate exceeded")
}

func errInternal(service string) *apiError {
	const msg = "The request processing has failed because of an unknown error, exception or failure."
	switch service {
	case "iam":
		return fail(500, "ServiceFailure", msg)
	case "sts", "cloudtrail":
		return fail(500, "InternalFailure", msg)
	case "eks-auth":
		return fail(500, "InternalServerException", msg)
	}
	return fail(500, "ServerException", msg)
}

func errInvalidToken(service string) *apiError {
	const msg = "The security token included in the request is invalid."
	if query(service) {
		return fail(403, "InvalidClientTokenId", msg)
	}
	if service == "cloudtrail" {
		return fail(400, "UnrecognizedClientException", msg)
	}
	return fail(403, "UnrecognizedClientException", msg)
}

func errExpired(service string) *apiError {
	const msg = "The security token included in the request is expired"
	switch service {
	case "iam", "sts":
		return fail(403, "ExpiredToken", msg)
	case "cloudtrail":
		return fail(400, "ExpiredTokenException", msg)
	}
	return fail(403, "ExpiredTokenException", msg)
}

func errUnsigned(service string) *apiError {
	const msg = "Missing Authentication Token"
	if service == "cloudtrail" {
		return fail(400, "MissingAuthenticationTokenException", msg)
	}
	code := "MissingAuthenticationTokenException"
	if query(service) {
		code = "MissingAuthenticationToken"
	}
	return fail(403, code, msg)
}

func errValidation(format string, args ...any) *apiError {
	return fail(400, "ValidationError", format, args...)
}

func errNoSuchEntity(format string, args ...any) *apiError {
	return fail(404, "NoSuchEntity", format, args...)
}

func errParameter(format string, args ...any) *apiError {
	return fail(400, "InvalidParameterException", format, args...)
}

func errNotFound(format string, args ...any) *apiError {
	return fail(404, "ResourceNotFoundException", format, args...)
}
