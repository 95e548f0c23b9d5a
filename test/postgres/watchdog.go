package postgres

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// watchdogScript ends the server and removes its folder once nobody holds the other end of its standard input, be it
// that the owner closed the server or that the owner was killed. Each line it reads is the process that runs the server
// now, 0 for none.
const watchdogScript = `
pid=0
while read -r line; do pid=$line; done
if [ "$pid" -ne 0 ]; then
	kill -QUIT "$pid"
	tries=0
	while [ -e "$1/data/postmaster.pid" ] && [ "$tries" -lt 200 ]; do
		sleep 0.05
		tries=$((tries + 1))
	done
	if [ -e "$1/data/postmaster.pid" ]; then kill -KILL "$pid"; fi
fi
rm -rf -- "$1"
`

// watchdog is a small process that outlives its owner to clean up behind it.
type watchdog struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

// startWatchdog starts the watchdog of a server's folder. The folder's lock lives as long as either process.
func startWatchdog(folder string, held *os.File) (*watchdog, error) {
	cmd := exec.Command("/bin/sh", "-c", watchdogScript, "watchdog", folder)
	account{}.apply(cmd)
	cmd.Dir = string(filepath.Separator)
	cmd.ExtraFiles = []*os.File{held}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the server's watchdog: %w", err)
	}
	if err := cmd.Start(); err != nil {
		stdin.Close()
		return nil, fmt.Errorf("start the server's watchdog: %w", err)
	}
	return &watchdog{cmd: cmd, stdin: stdin}, nil
}

// watch tells the watchdog which process runs the server, 0 for none.
func (w *watchdog) watch(pid int) error {
	if _, err := io.WriteString(w.stdin, strconv.Itoa(pid)+"\n"); err != nil {
		return fmt.Errorf("tell the server's watchdog: %w", err)
	}
	return nil
}

// finish returns when the server has ended and its folder is gone.
func (w *watchdog) finish() error {
	w.stdin.Close()
	if err := w.cmd.Wait(); err != nil {
		return fmt.Errorf("clean up behind the server: %w", err)
	}
	return nil
}
