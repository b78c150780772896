package app

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
)

// Called is told of every attempt of a call to AWS: the service and operation as AWS
// names them, and the error code, "ok" for none.
type Called func(service, operation, code string, took time.Duration)

// attempts tells of every attempt of a client's calls, the SDK's own retries included.
func attempts(name string, told Called) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		// The deserializer turns an answer into an error: this stands before it, and
		// inside the retries.
		return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("lanyard:"+name,
			func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
				start := time.Now()
				out, metadata, err := next.HandleDeserialize(ctx, in)
				told(strings.ToLower(awsmiddleware.GetServiceID(ctx)), awsmiddleware.GetOperationName(ctx), codeOf(err), time.Since(start))
				return out, metadata, err
			}), middleware.Before)
	}
}

// codeOf returns the code that AWS gave an error; for one that is not AWS's, what
// kind it is.
func codeOf(err error) string {
	if err == nil {
		return "ok"
	}
	if api, is := errors.AsType[smithy.APIError](err); is {
		return api.ErrorCode()
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return "timeout"
	}
	if answer, is := errors.AsType[*awshttp.ResponseError](err); is && answer.HTTPStatusCode() >= http.StatusInternalServerError {
		return "5xx"
	}
	return "connection"
}

// patient makes a configuration's clients slow down while AWS throttles them, instead
// of asking at the same pace again: the quotas are shared with everybody else in the
// account.
//
// Source: https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
// (adaptive mode; one retryer for each client).
func patient(c aws.Config) aws.Config {
	c = c.Copy()
	if c.Retryer == nil && c.RetryMaxAttempts == 0 && c.RetryMode == "" {
		c.Retryer = func() aws.Retryer { return retry.NewAdaptiveMode() }
	}
	return c
}
