"""Builds Grounding DINO's two graphs from the original's own layers, in the original's order.

Values that never change for one size of picture are computed once, here, and not in every call as
in the original: the positions and the proposals. A mask of padded pixels is not needed, because a
letterbox's bars count as picture. Values that the original computes from the token ids
(``caption``) are inputs, because no exporter knows the operators that it uses for them.

Letters in shapes: H, W picture, S tokens of the picture on all levels, V levels, L tokens of the
caption, E features of a token, Q boxes.
"""

from typing import Any, Final

import torch
from torch import Tensor, nn

# Replaces minus infinity for padding tokens: its sigmoid is zero too, and its exponential is still
# a float32.
FLOOR: Final = -80.0
# Replaces minus infinity before a softmax; float16 can hold it.
_UNSEEN: Final = -3e4
# Replaces infinity for places where no box can start: its sigmoid is one too.
_FAR: Final = 1e4
# Hugging Face's epsilon, for the inverse sigmoid of a box's coordinates.
_EPSILON: Final = 1e-5


class GroundingTextTower(nn.Module):
    """Maps a caption's ids and ``position_ids`` [1, L], ``block_mask`` [1, L, L] to [1, L, E]."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        # BERT's two halves are called apart, because versions treat a mask differently:
        # transformers 4 expects another shape than 5, and the plain attention of 5 adds true and
        # false as one and zero.
        self.embeddings = model.model.text_backbone.embeddings
        self.encoder = model.model.text_backbone.encoder
        self.projection = model.model.text_projection

    def forward(self, input_ids: Tensor, position_ids: Tensor, block_mask: Tensor) -> Tensor:
        words = self.embeddings(
            input_ids=input_ids,
            token_type_ids=torch.zeros_like(input_ids),
            position_ids=position_ids,
        )
        unseen = (~block_mask[:, None]).to(words.dtype) * _UNSEEN  # [1, 1, L, L]
        states = self.encoder(words, attention_mask=unseen)[0]
        features: Tensor = self.projection(states)
        return features


class EncoderLayer(nn.Module):
    """The original's encoder layer without the mask of padded pixels, which would mask nothing."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.text_positions = layer.get_text_position_embeddings
        self.fusion = layer.fusion_layer
        self.text = layer.text_enhancer_layer
        self.deformable = layer.deformable_layer

    def forward(
        self,
        tokens: Tensor,
        text: Tensor,
        token_mask: Tensor,
        position_ids: Tensor,
        block_mask: Tensor,
        positions: Tensor,
        places: Tensor,
        grid: dict[str, Any],
    ) -> tuple[Tensor, Tensor]:
        text_positions = self.text_positions(text, None, position_ids)
        (tokens, _), (text, _) = self.fusion(
            tokens, text, attention_mask_vision=None, attention_mask_text=~token_mask
        )
        text, _ = self.text(text, block_mask, text_positions)
        tokens, _ = self.deformable(
            hidden_states=tokens,
            attention_mask=None,
            position_embeddings=positions,
            reference_points=places,
            **grid,
        )
        return tokens, text


class DetectorGraph(nn.Module):
    """Maps a picture [1, 3, H, W] and a caption to ``logits`` [1, Q, L] and ``boxes`` [1, Q, 4].

    Args:
        model: GroundingDinoForObjectDetection, two-stage, in eval mode.
        height: Height of the picture.
        width: Width of the picture.
    """

    positions: Tensor
    places: Tensor
    possible: Tensor
    proposals: Tensor
    ratios: Tensor
    extents: Tensor

    def __init__(self, model: Any, height: int, width: int) -> None:
        super().__init__()
        inner = model.model
        for module in inner.modules():
            if hasattr(module, "disable_custom_kernels"):  # no exporter knows these kernels
                module.disable_custom_kernels = True
        self.backbone = inner.backbone.conv_encoder.model
        self.input_projections = inner.input_proj_vision
        self.encoder = nn.ModuleList(EncoderLayer(layer) for layer in inner.encoder.layers)
        self.start_norm = nn.Sequential(inner.enc_output, inner.enc_output_norm)
        self.start_box = inner.encoder_output_bbox_embed
        self.queries = inner.query_position_embeddings
        self.decoder = inner.decoder
        self.box = model.bbox_embed[-1]
        with torch.no_grad():
            self._precompute(inner, height, width)

    def _precompute(self, inner: Any, height: int, width: int) -> None:
        levels = self._levels(torch.zeros(1, 3, height, width))
        self.shapes = [(int(level.shape[2]), int(level.shape[3])) for level in levels]
        positions = []
        for index, level in enumerate(levels):
            seen = torch.ones(1, *level.shape[2:], dtype=torch.bool)
            position = inner.backbone.position_embedding(level, seen).flatten(2).transpose(1, 2)
            positions.append(position + inner.level_embed[index])
        self.register_buffer("positions", torch.cat(positions, 1))  # [1, S, E]
        # The picture fills every level.
        ratios = torch.ones(1, len(levels), 2)
        self.register_buffer("ratios", ratios)  # [1, V, 2]
        places = inner.encoder.get_reference_points(self.shapes, ratios, ratios.device)
        self.register_buffer("places", places)  # [1, S, V, 2]
        # Float, because division by an integer tensor would make the exporter's sampling grid
        # float64, for which runtimes have no GridSample.
        self.register_buffer("extents", torch.tensor(self.shapes, dtype=torch.float32))  # [V, 2]
        tokens = torch.zeros_like(self.positions)
        padded = torch.zeros(tokens.shape[:2], dtype=torch.bool)
        _, proposals = inner.generate_encoder_output_proposals(tokens, padded, self.shapes)
        possible = torch.isfinite(proposals).all(-1, keepdim=True).to(torch.float32)
        self.register_buffer("possible", possible)  # [1, S, 1]
        self.register_buffer("proposals", proposals.clamp(-_FAR, _FAR))  # [1, S, 4]

    def forward(
        self,
        pixels: Tensor,
        features: Tensor,
        token_mask: Tensor,
        position_ids: Tensor,
        block_mask: Tensor,
    ) -> tuple[Tensor, Tensor]:
        picture = [level.flatten(2).transpose(1, 2) for level in self._levels(pixels)]
        tokens, text = torch.cat(picture, 1), features
        for layer in self.encoder:
            tokens, text = layer(
                tokens, text, token_mask, position_ids, block_mask, self.positions, self.places,
                self._grid(),
            )  # fmt: skip
        starts = self._starts(tokens, text, token_mask)
        states, references = self.decoder(
            inputs_embeds=self.queries.weight[None],
            vision_encoder_hidden_states=tokens,
            vision_encoder_attention_mask=None,
            text_encoder_hidden_states=text,
            text_encoder_attention_mask=~token_mask,
            reference_points=starts,
            valid_ratios=self.ratios,
            output_attentions=False,
            output_hidden_states=False,
            return_dict=False,
            **self._grid(),
        )[1:3]  # after each layer: [1, layers, Q, E], [1, layers, Q, 4]
        before = references[:, -2] if len(self.decoder.layers) > 1 else starts
        boxes = self.box(states[:, -1]) + torch.logit(before, eps=_EPSILON)
        return _logits(states[:, -1], text, token_mask), boxes.sigmoid()

    def _levels(self, pixels: Tensor) -> list[Tensor]:
        """Return feature maps [1, E, h, w], the finest first."""
        maps = self.backbone(pixels, return_dict=True).feature_maps
        levels = [
            project(source) for project, source in zip(self.input_projections, maps, strict=False)
        ]
        source = maps[-1]
        for project in self.input_projections[len(maps) :]:
            source = project(source)
            levels.append(source)
        return levels

    def _starts(self, tokens: Tensor, text: Tensor, token_mask: Tensor) -> Tensor:
        """Return the places that fit the caption best, as boxes [1, Q, 4] for the decoder."""
        candidates = self.start_norm(tokens * self.possible)
        fit = _logits(candidates, text, token_mask).amax(-1)  # [1, S]
        best = fit.topk(self.queries.num_embeddings, dim=1).indices[..., None].expand(-1, -1, 4)
        # Only boxes of the best places are computed: the others would be thrown away.
        chosen = best[..., :1].expand(-1, -1, candidates.shape[-1])
        boxes: Tensor = self.start_box(candidates.gather(1, chosen)) + self.proposals.gather(
            1, best
        )
        return boxes.sigmoid()

    def _grid(self) -> dict[str, Any]:
        return {
            "spatial_shapes": self.extents,
            "spatial_shapes_list": self.shapes,
            "level_start_index": None,  # read by the custom kernels only
        }


def _logits(states: Tensor, text: Tensor, token_mask: Tensor) -> Tensor:
    """Return the fit of each of ``states`` [1,n,E] to each token of ``text`` [1,L,E]; finite."""
    return torch.matmul(states, text.transpose(1, 2)).masked_fill(~token_mask[:, None], FLOOR)
