"""Builders of stabilityai/sd-turbo's size with fresh weights; diffusers is all that they take."""

from diffusers import AutoencoderKL, UNet2DConditionModel

CHANNELS = (320, 640, 1280, 1280)
HEAD = 64  # channels of an attention head
LATENT_SIDE = 64  # of a picture of 512x512
TOKEN_WIDTH = 1024


def unet() -> UNet2DConditionModel:
    """Return the 866 million parameters of every Stable Diffusion 2.x."""
    return UNet2DConditionModel(
        sample_size=LATENT_SIDE,
        block_out_channels=CHANNELS,
        attention_head_dim=tuple(one // HEAD for one in CHANNELS),
        cross_attention_dim=TOKEN_WIDTH,
        use_linear_projection=True,
    )


def autoencoder() -> AutoencoderKL:
    """Return the 84 million parameters of every Stable Diffusion 1.x and 2.x."""
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        sample_size=512,
    )
