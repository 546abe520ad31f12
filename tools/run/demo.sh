# The demo: two mpirun ranks train a small Llama on real English and exchange compressed updates.
# shellcheck shell=bash

# demo [ARGUMENT...]: arguments go to thinwire train.
demo() {
  build thinwire
  local mpirun=(mpirun -n 2 --bind-to none) train=(build/thinwire train -c configs/quickstart.yaml) status=0 began
  ((EUID != 0)) || mpirun+=(--allow-run-as-root)
  # Open MPI counts one slot per physical core; asking it is the only sure way to know whether two ranks fit.
  "${mpirun[@]}" true </dev/null >/dev/null 2>&1 || mpirun+=(--oversubscribe)
  say demo "${mpirun[*]} ${train[*]} $*"
  began=$SECONDS
  "${mpirun[@]}" "${train[@]}" "$@" || status=$?
  ((status == 0)) || fail "$status" demo "ended with exit code $status after $((SECONDS - began)) s"
  say demo "done ($((SECONDS - began)) s). Next:"
  cat <<END
  the same training with every gradient sent in fp32:
    ${mpirun[*]} build/thinwire train -c configs/quickstart_uncompressed.yaml
  what it writes when it goes on by itself, and how well it predicts all of the validation text (the run directory is named above):
    build/thinwire generate RUN --prompt "The "; build/thinwire eval RUN
  the same model for Hugging Face's transformers:
    build/thinwire export RUN --out exported
  a page to look at, of one run or of several side by side:
    build/thinwire report RUN...
  what its checkpoints hold, and whether every byte is as it was written:
    build/thinwire ckpt inspect RUN; build/thinwire ckpt verify RUN
  every setting with its value:
    build/thinwire config print -c configs/quickstart.yaml
  the tests:
    ./run test
END
}
