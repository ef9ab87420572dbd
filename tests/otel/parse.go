// Reads the body of a request as OpenTelemetry's collector does, and prints how many spans it found.
package main

import (
	"fmt"
	"io"
	"os"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

func main() {
	body, err := io.ReadAll(os.Stdin)
	if err == nil {
		request := ptraceotlp.NewExportRequest()
		if err = request.UnmarshalJSON(body); err == nil {
			fmt.Println(request.Traces().SpanCount())
			return
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
