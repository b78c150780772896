# lanyard's image: the static binary, the certificate authorities and the time zones,
# and nothing else. make image builds it. Only what is copied by name reaches the build.
ARG GO_VERSION=1.26.11
FROM --platform=$BUILDPLATFORM golang:${GO_VERSION}-bookworm AS build
ARG TARGETOS
ARG TARGETARCH
ARG VERSION
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY desired desired
COPY examples examples
COPY internal internal
COPY metrics metrics
COPY migrate migrate
COPY sync sync
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
	-ldflags "-s -w -X github.com/lanyard-io/lanyard/cmd/lanyard/internal/cli.Version=$VERSION" -o /out/lanyard ./cmd/lanyard

FROM scratch
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="lanyard" \
	org.opencontainers.image.description="Keeps AWS EKS workload identities as Git declares them" \
	org.opencontainers.image.source="https://github.com/lanyard-io/lanyard" \
	org.opencontainers.image.licenses="Apache-2.0" \
	org.opencontainers.image.version="$VERSION" \
	org.opencontainers.image.revision="$REVISION"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# https://pkg.go.dev/time#LoadLocation
COPY --from=build /usr/local/go/lib/time/zoneinfo.zip /zoneinfo.zip
ENV ZONEINFO=/zoneinfo.zip
COPY --from=build /out/lanyard /lanyard
USER 65532:65532
ENTRYPOINT ["/lanyard"]
