//go:build !wasip1

package policy

import (
	"fmt"
	"os"
	"time"
)

// nobody is the host where there is none, such as in a test of a policy's own functions: it knows no field and no
// decision, as the ABI lets a host.
type nobody struct{}

func newHost() host { return nobody{} }

func (nobody) getInt(int32, int32) int64           { return unknown }
func (nobody) getBytes(int32, int32, []byte) int32 { return int32(CodeUnknown) }
func (nobody) count(int32) int32                   { return int32(CodeUnknown) }
func (nobody) setInt(int32, int64) int32           { return int32(CodeUnknown) }
func (nobody) setBytes(int32, string) int32        { return int32(CodeUnknown) }
func (nobody) selects(int32) int32                 { return int32(CodeWrongHook) }
func (nobody) kvGet(string, []byte) int32          { return int32(CodeNoIndex) }
func (nobody) kvSet(string, string, int64) int32   { return int32(CodeQuota) }
func (nobody) metricAdd(string, int64) int32       { return 0 }
func (nobody) config([]byte) int32                 { return 0 }
func (nobody) nowMillis() int64                    { return time.Now().UnixMilli() }

func (nobody) log(level int32, line string) {
	fmt.Fprintf(os.Stderr, "policy: level %d: %s\n", level, line)
}
