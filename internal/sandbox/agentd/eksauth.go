package agentd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// eksAuth is the client of EKS Auth's one operation. The SDK has a module for it; here it
// is the SDK's signer and retryer around one request.
type eksAuth struct {
	endpoint, region string
	credentials      aws.CredentialsProvider
	http             *http.Client
}

// answer is what the agent hands to a pod.
type answer struct {
	AccessKeyID     string    `json:"AccessKeyId"`
	SecretAccessKey string    `json:"SecretAccessKey"`
	Token           string    `json:"Token"`
	AccountID       string    `json:"AccountId"`
	Expiration      time.Time `json:"Expiration"`
}

// longestAnswer bounds what is read of a response.
const longestAnswer = 1 << 20

// assumeRole exchanges a pod's token, with the SDK's attempts and pauses.
func (e eksAuth) assumeRole(ctx context.Context, cluster, token string) (answer, error) {
	standard := retry.NewStandard()
	for attempt := 1; ; attempt++ {
		a, err := e.try(ctx, cluster, token)
		if err == nil || attempt == standard.MaxAttempts() || !standard.IsErrorRetryable(err) {
			return a, err
		}
		pause, delayErr := standard.RetryDelay(attempt, err)
		if delayErr != nil {
			return a, err
		}
		select {
		case <-ctx.Done():
			return a, err
		case <-time.After(pause):
		}
	}
}

func (e eksAuth) try(ctx context.Context, cluster, token string) (answer, error) {
	body, err := json.Marshal(map[string]string{"token": token})
	if err != nil {
		return answer{}, err
	}
	address := e.endpoint + "/clusters/" + url.PathEscape(cluster) + "/assume-role-for-pod-identity"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	who, err := e.credentials.Retrieve(ctx)
	if err != nil {
		return answer{}, fmt.Errorf("get the node's credentials: %w", err)
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, who, req, hex.EncodeToString(sum[:]), "eks-auth", e.region, time.Now()); err != nil {
		return answer{}, err
	}
	res, err := e.http.Do(req)
	if err != nil {
		return answer{}, &smithyhttp.RequestSendError{Err: err}
	}
	defer res.Body.Close()
	doc, err := io.ReadAll(io.LimitReader(res.Body, longestAnswer))
	if err != nil {
		return answer{}, err
	}
	if res.StatusCode != http.StatusOK {
		return answer{}, apiError(res, doc)
	}
	return decode(doc)
}

// apiError is what the SDK makes of an error response.
func apiError(res *http.Response, doc []byte) error {
	var in struct{ Message string }
	_ = json.Unmarshal(doc, &in) // What is no JSON has no message.
	fault := smithy.FaultClient
	if res.StatusCode >= 500 {
		fault = smithy.FaultServer
	}
	return &awshttp.ResponseError{
		RequestID: res.Header.Get("X-Amzn-Requestid"),
		ResponseError: &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: res},
			Err:      &smithy.GenericAPIError{Code: res.Header.Get("X-Amzn-Errortype"), Message: in.Message, Fault: fault},
		},
	}
}

func decode(doc []byte) (answer, error) {
	var out struct {
		AssumedRoleUser struct{ Arn string }
		Credentials     struct {
			AccessKeyID     string `json:"accessKeyId"`
			SecretAccessKey string
			SessionToken    string
			Expiration      float64 // Seconds, in the protocol's default for timestamps in JSON.
		}
	}
	if err := json.Unmarshal(doc, &out); err != nil {
		return answer{}, fmt.Errorf("read answer of EKS Auth: %w", err)
	}
	arn := strings.Split(out.AssumedRoleUser.Arn, ":")
	if out.Credentials.AccessKeyID == "" || len(arn) != 6 {
		return answer{}, fmt.Errorf("invalid response from server: credentials or assumed role empty")
	}
	return answer{
		AccessKeyID: out.Credentials.AccessKeyID, SecretAccessKey: out.Credentials.SecretAccessKey, Token: out.Credentials.SessionToken,
		AccountID: arn[4], Expiration: time.Unix(int64(out.Credentials.Expiration), 0).UTC(),
	}, nil
}
