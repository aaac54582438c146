// Command rr is the RoadRunner server reduced to the plugins this project
// needs, each at the version RoadRunner itself pins for the release named in
// VERSION. It is for machines that cannot pull the official binary. It reads
// the same configuration in the same way; of the commands it knows `serve`
// alone, of the flags -c, -w, -o, --dotenv and --version.
package main

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/joho/godotenv"
	"github.com/spf13/cobra"
)

//go:embed VERSION
var versionFile string

// version is the RoadRunner release whose plugin versions go.mod pins.
func version() string { return strings.TrimSpace(versionFile) }

func main() {
	if err := rootCommand().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func rootCommand() *cobra.Command {
	var workDir, dotenv string
	opts := &serveOptions{}

	root := &cobra.Command{
		Use:   "rr",
		Short: "RoadRunner TCP server, built from its pinned plugins",
		// scripts/get-rr recognises its own builds by "built from tools/rr".
		Version: fmt.Sprintf("%s (built from tools/rr, %s), OS: %s, arch: %s",
			version(), runtime.Version(), runtime.GOOS, runtime.GOARCH),
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(*cobra.Command, []string) (err error) {
			opts.configFile, err = enterWorkDir(workDir, opts.configFile)
			if err != nil {
				return err
			}
			if path, ok := os.LookupEnv("DOTENV_PATH"); ok {
				dotenv = path
			}
			if dotenv != "" {
				return godotenv.Load(dotenv)
			}
			return nil
		},
	}

	flags := root.PersistentFlags()
	flags.StringVarP(&opts.configFile, "config", "c", ".rr.yaml", "configuration file")
	flags.StringVarP(&workDir, "WorkDir", "w", "", "working directory (default: that of the configuration file)")
	flags.StringVar(&dotenv, "dotenv", "", "file of environment variables [$DOTENV_PATH]")
	flags.StringArrayVarP(&opts.overrides, "override", "o", nil, "override a configuration value (dot.notation=value)")

	root.AddCommand(&cobra.Command{
		Use:   "serve",
		Short: "Start the server",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return serve(opts) },
	})
	return root
}

// enterWorkDir changes to workDir, or to the directory of the configuration
// file where none is given, and returns the absolute path of that file: a
// relative one counts from workDir.
func enterWorkDir(workDir, configFile string) (string, error) {
	if configFile == "" {
		return "", fmt.Errorf("no configuration file provided: name one with -c FILE")
	}
	if workDir != "" {
		if err := os.Chdir(workDir); err != nil {
			return "", err
		}
	}
	path, err := filepath.Abs(configFile)
	if err != nil {
		return "", err
	}
	if workDir == "" {
		err = os.Chdir(filepath.Dir(path))
	}
	return path, err
}
