package migrate_test

import (
	"strings"
	"testing"

	"github.com/lanyard-io/lanyard/migrate"
)

// agents are user agents as they are in events and logs that people published, with what
// they name and whether that can use Pod Identity: "can", "cannot", "unknown".
var agents = []struct{ agent, name, version, takes string }{
	// Go.
	{"aws-sdk-go-v2/1.21.2 os/linux lang/go#1.19.13 md/GOOS#linux md/GOARCH#amd64 api/eksauth#1.0.0-zeta.e49712bf27d5", "aws-sdk-go-v2", "1.21.2", "cannot"},
	{"aws-sdk-go-v2/1.22.2 os/linux lang/go#1.21.4 md/GOOS#linux md/GOARCH#arm64 api/sts#1.25.3", "aws-sdk-go-v2", "1.22.2", "can"},
	{"aws-sdk-go-v2/1.36.1 ua/2.1 os/linux lang/go#1.23.6 md/GOOS#linux md/GOARCH#amd64 api/sts#1.33.13 m/E,g", "aws-sdk-go-v2", "1.36.1", "can"},
	{"aws-sdk-go/1.45.1 (go1.21.4; linux; amd64)", "aws-sdk-go", "1.45.1", "cannot"},
	{"aws-sdk-go/1.51.6 (go1.22.1; linux; amd64)", "aws-sdk-go", "1.51.6", "can"},
	{"APN/1.0 HashiCorp/1.0 Terraform/1.5.7 (+https://www.terraform.io) terraform-provider-aws/5.17.0 (+https://registry.terraform.io/providers/hashicorp/aws) aws-sdk-go/1.47.11 (go1.20.8; linux; amd64)", "aws-sdk-go", "1.47.11", "can"},
	// Python.
	{"Boto3/1.28.62 md/Botocore#1.31.62 ua/2.0 os/macos#22.6.0 md/arch#arm64 lang/python#3.9.6 md/pyimpl#CPython cfg/retry-mode#legacy Botocore/1.31.62", "boto3", "1.28.62", "cannot"},
	{"Boto3/1.39.3 md/Botocore#1.39.3 ua/2.1 os/linux#6.8.0-52-generic md/arch#x86_64 lang/python#3.12.6 md/pyimpl#CPython m/b,Z,D,N cfg/retry-mode#legacy Botocore/1.39.3", "boto3", "1.39.3", "can"},
	{"Boto3/1.10.2 Python/3.8.0 Linux/4.14.138-99.102.amzn2.x86_64 exec-env/AWS_Lambda_python3.8 Botocore/1.13.2", "boto3", "1.10.2", "cannot"},
	{"Botocore/1.34.41 ua/2.0 os/linux#5.10.205 md/arch#x86_64 lang/python#3.11.8", "botocore", "1.34.41", "can"},
	{"aiobotocore/2.5.0 md/Botocore#1.29.76 Python/3.11.4 Linux/5.10.184", "botocore", "1.29.76", "cannot"},
	// The AWS CLI, of which two majors are about.
	{"aws-cli/2.15.38 Python/3.11.8 Linux/5.10.213-201.855.amzn2.x86_64 exe/x86_64.amzn.2 prompt/off command/eks-auth.assume-role-for-pod-identity", "aws-cli", "2.15.38", "can"},
	{"aws-cli/2.13.29 Python/3.11.6 Windows/10 exe/AMD64 prompt/off command/sts.assume-role-with-web-identity", "aws-cli", "2.13.29", "cannot"},
	{"aws-cli/1.27.92 md/Botocore#1.31.2 ua/2.0 os/macos#21.6.0 md/arch#x86_64 lang/python#3.10.14 md/pyimpl#CPython cfg/retry-mode#legacy botocore/1.31.2", "aws-cli", "1.27.92", "cannot"},
	{"aws-cli/2.36.32 md/awscrt#0.36.2 ua/2.1 os/macos#25.5.0 md/arch#arm64 lang/python#3.14.7 md/pyimpl#CPython m/b,Z,E,AP,n cfg/retry-mode#standard md/installer#source md/prompt#off md/command#sts.get-caller-identity", "aws-cli", "2.36.32", "can"},
	// Java, of which two majors are about.
	{"aws-sdk-java/2.20.162 Mac_OS_X/13.5.2 OpenJDK_64-Bit_Server_VM/18.0.1+10-FR Java/18.0.1 vendor/Amazon.com_Inc. io/sync http/UrlConnection cfg/retry-mode/legacy", "aws-sdk-java", "2.20.162", "cannot"},
	{"aws-sdk-java/2.31.7 md/io#sync md/http#UrlConnection ua/2.1 api/STS#2.31.x os/Linux#5.10.234 lang/java#21.0.6 md/OpenJDK_64-Bit_Server_VM#21.0.6+7-LTS md/vendor#Amazon.com_Inc. md/en_US", "aws-sdk-java", "2.31.7", "can"},
	{"aws-sdk-java/1.12.262 Linux/5.10.186-179.751.amzn2.x86_64 OpenJDK_64-Bit_Server_VM/11.0.19+7-LTS java/11.0.19 vendor/Amazon.com_Inc. cfg/retry-mode/legacy", "aws-sdk-java", "1.12.262", "cannot"},
	{"Hadoop 3.3.4, aws-sdk-java/1.12.746 Linux/6.1.84 OpenJDK_64-Bit_Server_VM/17.0.11+9-LTS java/17.0.11 scala/2.12.17", "aws-sdk-java", "1.12.746", "can"},
	{"[aws-sdk-java/1.11.704 Linux/4.14.301 OpenJDK_64-Bit_Server_VM/25.352-b09 java/1.8.0_352 vendor/Oracle_Corporation]", "aws-sdk-java", "1.11.704", "cannot"},
	// JavaScript: 2.x names itself by where it runs.
	{"aws-sdk-js/3.632.0 ua/2.0 os/linux#5.10.227-239.884.amzn2.x86_64 lang/js md/nodejs#20.18.0 api/sts#3.632.0 exec-env/AWS_Lambda_nodejs20.x", "aws-sdk-js", "3.632.0", "can"},
	{"aws-sdk-js/3.400.0 os/linux/5.10.184 lang/js md/nodejs/18.17.1 api/sts/3.400.0", "aws-sdk-js", "3.400.0", "cannot"},
	{"aws-sdk-nodejs/2.1363.0 linux/v16.20.2 exec-env/AWS_ECS_FARGATE promise", "aws-sdk-js", "2.1363.0", "cannot"},
	{"aws-sdk-nodejs/2.1586.0 linux/v20.15.1 aws-cdk/2.135.0 promise", "aws-sdk-js", "2.1586.0", "can"},
	// The others.
	{"aws-sdk-kotlin/1.3.81 ua/2.1 api/sts#1.3.81 os/linux#6.1 lang/kotlin#2.0.21", "aws-sdk-kotlin", "1.3.81", "can"},
	{"aws-sdk-ruby3/3.113.1 ruby/2.7.2 x86_64-linux aws-sdk-core/3.113.1", "aws-sdk-ruby3", "3.113.1", "cannot"},
	{"aws-sdk-ruby3/3.190.0 md/internal ua/2.0 api/sts#1.0.0 os/linux md/x86_64 lang/ruby#2.7.8 md/2.7.8 cfg/retry-mode#legacy", "aws-sdk-ruby3", "3.190.0", "can"},
	{"aws-sdk-cpp/1.9.379 Linux/5.10.184 x86_64 GCC/7.3.1", "aws-sdk-cpp", "1.9.379", "cannot"},
	{"aws-sdk-cpp/1.11.352 ua/2.0 md/aws-crt#0.26.9 os/Linux#6.1.91 md/arch#x86_64 lang/c++#C++17 md/GCC#11.4.1", "aws-sdk-cpp", "1.11.352", "can"},
	{"aws-sdk-dotnet-coreclr/3.7.305.28 ua/2.0 os/windows#10.0.22631.0 md/ARCH#X64 lang/.NET_Core#8.0.2 md/aws-sdk-dotnet-core#3.7.302.12 api/S3#3.7.305.28 cfg/retry-mode#legacy md/ClientAsync", "aws-sdk-dotnet-core", "3.7.302.12", "can"},
	{"aws-sdk-dotnet-coreclr/3.7.202.1 aws-sdk-dotnet-core/3.7.201.1 .NET_Core/8.0.8 OS/Linux ClientAsync", "aws-sdk-dotnet-core", "3.7.201.1", "cannot"},
	{"aws-sdk-dotnet-coreclr/4.0.0.1 ua/2.1 os/linux#6.1 md/ARCH#X64 lang/.NET_Core#8.0.13 md/aws-sdk-dotnet-core#4.0.0.2 api/SecurityToken#4.0.0.1", "aws-sdk-dotnet-core", "4.0.0.2", "can"},
	{"aws-sdk-php/3.184.6 OS/Linux/5.4.0-126-generic lang/php/7.4.30 GuzzleHttp/6.5.5 curl/7.68.0", "aws-sdk-php", "3.184.6", "cannot"},
	{"aws-sdk-php/3.297.1 OS/Linux#5.10.25-linuxkit lang/php#8.2.15 GuzzleHttp/7", "aws-sdk-php", "3.297.1", "can"},
	{"aws-sdk-rust/1.3.14 os/linux lang/rust/1.94.1 aws-secrets-manager-agent/2.0.0", "aws-sdk-rust", "1.3.14", "unknown"},
	{"aws-sdk-swift/1.0.33 ua/2.1 api/sts#1.0.33 os/linux lang/swift#6.0", "aws-sdk-swift", "1.0.33", "unknown"},
	// What names none.
	{"pods.eks.amazonaws.com", "", "", "unknown"},
	{"aws-sdk-dotnet-coreclr/3.7.305.28 ua/2.0", "", "", "unknown"}, // the service's package says nothing
	{"aws-sdk-go-v2", "", "", "unknown"},
	{"aws-sdk-js/3.x", "", "", "unknown"},
	{"aws-sdk-go/x (go1.21)", "", "", "unknown"},
	{"Mozilla/5.0 (X11; Linux x86_64)", "", "", "unknown"},
	{"", "", "", "unknown"},
}

func TestSDKOf(t *testing.T) {
	t.Parallel()
	for _, tt := range agents {
		name, version := migrate.SDKOf(tt.agent)
		takes := "unknown"
		if can, known := migrate.TakesPodIdentity(name, version); known {
			takes = map[bool]string{true: "can", false: "cannot"}[can]
		}
		if name != tt.name || version != tt.version || takes != tt.takes {
			t.Errorf("%q: %s/%s %s, want %s/%s %s", tt.agent, name, version, takes, tt.name, tt.version, tt.takes)
		}
	}
	if name, version := migrate.SDKOf(strings.Repeat("x ", 1<<20) + "aws-sdk-go/1.45.1"); name != "" {
		t.Errorf("read to the end of a megabyte: %s/%s", name, version)
	}
}

// FuzzSDKOf: a user agent is anybody's text. What is found in one stands in it.
func FuzzSDKOf(f *testing.F) {
	for _, tt := range agents {
		f.Add(tt.agent)
	}
	f.Fuzz(func(t *testing.T, agent string) {
		name, version := migrate.SDKOf(agent)
		if (name == "") != (version == "") || !strings.Contains(agent, version) {
			t.Errorf("%q names %q %q", agent, name, version)
		}
		migrate.TakesPodIdentity(name, version)
	})
}
