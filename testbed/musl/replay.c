// SPDX-License-Identifier: GPL-2.0-or-later
/* A fuzz target's main() where libFuzzer is not to be had: each file that is named goes through the target once. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In memory of just its size, as libFuzzer has it. */
static uint8_t *contents(const char *path, size_t *size)
{
	FILE *file = fopen(path, "rb");
	long length = -1;

	if (file && fseek(file, 0, SEEK_END) == 0)
		length = ftell(file);
	uint8_t *data = length < 0 ? NULL : malloc(length ? (size_t)length : 1);

	if (data) {
		rewind(file);
		*size = fread(data, 1, (size_t)length, file);
	}
	if (file)
		fclose(file);
	return data;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		size_t size = 0;
		uint8_t *data = contents(argv[i], &size);

		if (!data) {
			perror(argv[i]);
			return 1;
		}
		LLVMFuzzerTestOneInput(data, size);
		free(data);
	}
	printf("%d inputs\n", argc - 1);
	return argc < 2;
}
